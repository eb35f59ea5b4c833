// Package mes is the domain of plantgate: the things a plant has and does, in
// the words of ISA-95 (IEC 62264), OPC UA and ISO 22400, and the rules that
// hold for them whatever door they came through and wherever they are stored.
//
// It imports nothing of the project and does no input or output.
package mes
