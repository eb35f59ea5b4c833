// Package browsepath reads the text of browse paths and of patterns of them: the text
// format of a RelativePath of OPC 10000-4, Annex A.2, with namespaces by URI, wildcards
// and captures beside it. It knows no server.
package browsepath
