// Package openapi holds the description of the HTTP interface. It is generated
// from the comments in package api: go run ./openapi/generate.
package openapi

import _ "embed"

// Document is the OpenAPI 3.0.3 document, in JSON.
//
//go:embed openapi.json
var Document []byte

// Swagger is the same as a Swagger 2.0 document, for tools that know no other.
//
//go:embed swagger.json
var Swagger []byte
