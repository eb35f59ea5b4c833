package main

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"

	"plantgate/api/web"
)

const problemType = "application/problem+json"

// patch says what Swagger 2.0 comments can't.
func patch(doc *openapi3.T) error {
	doc.OpenAPI = "3.0.3"
	doc.Servers = openapi3.Servers{{URL: "/"}}
	doc.Tags = openapi3.Tags{
		{Name: "data", Description: "Records: one message of one machine at one time."},
		{Name: "equipment", Description: "Sites and machines, and the newest values of their signals."},
		{Name: "commands", Description: "Commands to machines, and what the machines say of them."},
		{Name: "opcua", Description: "OPC UA servers: browse, read, write and call; their present alarms."},
		{Name: "quarantine", Description: "Messages that could not be accepted: read, correct and replay them."},
		{Name: "operation", Description: "Health, connections to the floor, metrics, and this document."},
		{Name: "pages", Description: "What a browser shows."},
	}
	addSecurity(doc)
	if err := addLivePage(doc); err != nil {
		return err
	}
	renamePages(doc)
	fixSchemas(doc)
	for path, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			fixContent(path, op)
			addInternalError(op)
			addCommonHeaders(op)
			sortParameters(op)
		}
	}
	return patchData(doc)
}

func addSecurity(doc *openapi3.T) {
	if doc.Components.SecuritySchemes == nil {
		doc.Components.SecuritySchemes = openapi3.SecuritySchemes{}
	}
	doc.Components.SecuritySchemes["Bearer"] = &openapi3.SecuritySchemeRef{Value: &openapi3.SecurityScheme{
		Type: "http", Scheme: "bearer", Description: "The same API key as a bearer token.",
	}}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if op.Security != nil && len(*op.Security) > 0 {
				*op.Security = append(*op.Security, openapi3.SecurityRequirement{"Bearer": {}})
			}
		}
	}
}

// addLivePage describes the files of the live page, which have no handler of
// their own.
func addLivePage(doc *openapi3.T) error {
	names, err := web.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == "index.html" {
			continue
		}
		op := openapi3.NewOperation()
		op.OperationID = "getPageFile_" + regexp.MustCompile(`\W`).ReplaceAllString(name, "_")
		op.Summary, op.Tags = "Read "+name+" of the live page", []string{"pages"}
		op.Responses = openapi3.NewResponses()
		op.Responses.Delete("default")
		op.Responses.Set("200", &openapi3.ResponseRef{Value: openapi3.NewResponse().WithDescription("OK").
			WithContent(openapi3.NewContentWithSchema(openapi3.NewStringSchema().WithFormat("binary"), []string{"*/*"}))})
		doc.Paths.Set("/"+name, &openapi3.PathItem{Get: op})
	}
	return nil
}

// pageName finds the lists, which swag names after a Go type.
var pageName = regexp.MustCompile(`^api\.page-(?:api_)?(\w+)$`)

// renamePages gives lists the names of what they list.
func renamePages(doc *openapi3.T) {
	renamed := make(map[string]string)
	for name, schema := range doc.Components.Schemas {
		m := pageName.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		delete(doc.Components.Schemas, name)
		doc.Components.Schemas[m[1]+"Page"] = schema
		renamed["#/components/schemas/"+name] = "#/components/schemas/" + m[1] + "Page"
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for _, response := range op.Responses.Map() {
				for _, media := range response.Value.Content {
					if media.Schema != nil && renamed[media.Schema.Ref] != "" {
						media.Schema.Ref = renamed[media.Schema.Ref]
					}
				}
			}
		}
	}
}

// fixSchemas closes objects, so that a test sees members that are not
// described, and says which members are null or of any type.
func fixSchemas(doc *openapi3.T) {
	for name, ref := range doc.Components.Schemas {
		s := ref.Value
		if name != "Reading" && s.Type.Is("object") {
			s.AdditionalProperties = openapi3.AdditionalProperties{Has: openapi3.Ptr(false)}
		}
		if cursor := s.Properties["next_cursor"]; cursor != nil {
			cursor.Value.Nullable = true
		}
		for member, property := range s.Properties {
			if property.Value != nil && property.Value.Extensions["x-nullable"] == true {
				property.Value.Nullable = true
			}
			if property.Value != nil && property.Ref == "" && isTime(property.Value) {
				property.Value.Format = "date-time"
			}
			delete(s.Properties[member].Extensions, "x-nullable")
		}
	}
	anything := func(description string) *openapi3.SchemaRef {
		return openapi3.NewSchemaRef("", &openapi3.Schema{Nullable: true, Description: description})
	}
	value := anything("A number (an exact decimal), string, boolean or array; null for no value yet.")
	doc.Components.Schemas["Latest"].Value.Properties["value"] = value
	doc.Components.Schemas["SampleSignal"].Value.Properties["value"] = value
	for _, name := range []string{"OPCUAValue", "OPCUAOutput", "OPCUAWriteItem"} {
		doc.Components.Schemas[name].Value.Properties["value"] = value
	}
	doc.Components.Schemas["OPCUAWritten"].Value.Properties["old_value"] = value
	doc.Components.Schemas["OPCUACallItem"].Value.Properties["arguments"].Value.Items = anything("Any JSON that fits the type of the argument.")
	doc.Components.Schemas["CommandReply"].Value.Properties["data"] = anything("Any JSON that the machine sent.")
	record := doc.Components.Schemas["Record"].Value
	record.Properties["signals"] = openapi3.NewSchemaRef("", &openapi3.Schema{
		Type: &openapi3.Types{"object"}, Description: "Values by name.",
		Example:              map[string]any{"temperature": 72.31},
		AdditionalProperties: openapi3.AdditionalProperties{Schema: value},
	})
	doc.Components.Schemas["SeriesPoint"].Value.Properties["value"] = value
	doc.Components.Schemas["SeriesBucket"].Value.AdditionalProperties = openapi3.AdditionalProperties{
		Schema: openapi3.NewSchemaRef("", &openapi3.Schema{
			Type: &openapi3.Types{"number"}, Nullable: true, Description: "A percentile that was asked for, such as p95.",
		}),
	}
	doc.Components.Schemas["Replay"].Value.Properties["payload"] = openapi3.NewSchemaRef("", &openapi3.Schema{
		Description: "The corrected message: an object, an array of them, or a string with the text of any message.",
	})
}

var timeExample = regexp.MustCompile(`^\d{4}-\d\d-\d\dT.*Z$`)

func isTime(s *openapi3.Schema) bool {
	example, ok := s.Example.(string)
	return s.Type.Is("string") && ok && timeExample.MatchString(example)
}

// fixContent gives errors the media type of problems, and pages their own.
func fixContent(path string, op *openapi3.Operation) {
	for status, response := range op.Responses.Map() {
		code, _ := strconv.Atoi(status)
		content := response.Value.Content
		if len(content) == 0 {
			continue
		}
		isProblem := false
		for _, media := range content {
			isProblem = isProblem || media.Schema != nil && media.Schema.Ref == "#/components/schemas/Problem"
		}
		switch {
		case code >= http.StatusBadRequest && isProblem:
			response.Value.Content = openapi3.NewContentWithSchemaRef(openapi3.NewSchemaRef("#/components/schemas/Problem", nil), []string{problemType})
		case path == "/swagger/{file}":
			response.Value.Content = openapi3.NewContentWithSchema(openapi3.NewStringSchema().WithFormat("binary"), []string{"*/*"})
		case op.OperationID == "getQuarantinedRaw":
			response.Value.Content = openapi3.NewContentWithSchema(openapi3.NewStringSchema().WithFormat("binary"), []string{"application/octet-stream"})
		}
	}
}

// addCommonHeaders describes what every answer bears.
func addCommonHeaders(op *openapi3.Operation) {
	op.AddParameter(openapi3.NewHeaderParameter("X-Request-Id").WithSchema(openapi3.NewStringSchema()).
		WithDescription("id of the request, at most 128 printable characters; it comes back"))
	for status, response := range op.Responses.Map() {
		add := func(name, description string, required bool) {
			if response.Value.Headers == nil {
				response.Value.Headers = openapi3.Headers{}
			}
			h := &openapi3.Header{Parameter: openapi3.Parameter{Description: description, Required: required, Schema: openapi3.NewStringSchema().NewRef()}}
			response.Value.Headers[name] = &openapi3.HeaderRef{Value: h}
		}
		add("X-Request-Id", "id of the request", true)
		if op.Security != nil && status != "401" && status != "503" {
			add("RateLimit-Policy", "requests that the key may send, if they are limited", false)
			add("RateLimit", "requests that are left", false)
		}
		switch status {
		case "401":
			add("WWW-Authenticate", "how to prove who calls", true)
		case "429":
			add("Retry-After", "seconds to wait", true)
		case "503":
			add("Retry-After", "seconds to wait", op.OperationID != "getReadiness")
		}
	}
}

// addInternalError describes what any route may answer.
func addInternalError(op *openapi3.Operation) {
	op.Responses.Set("500", &openapi3.ResponseRef{Value: openapi3.NewResponse().WithDescription("Internal Server Error").
		WithContent(openapi3.NewContentWithSchemaRef(openapi3.NewSchemaRef("#/components/schemas/Problem", nil), []string{problemType}))})
}

// sortParameters puts those of the path first, and headers last.
func sortParameters(op *openapi3.Operation) {
	order := []string{"path", "query", "header"}
	slices.SortStableFunc(op.Parameters, func(a, b *openapi3.ParameterRef) int {
		return slices.Index(order, a.Value.In) - slices.Index(order, b.Value.In)
	})
}

// patchData describes the bodies of POST /data, of which there are several.
func patchData(doc *openapi3.T) error {
	item := doc.Paths.Value("/data")
	if item == nil || item.Post == nil || doc.Components.Schemas["Reading"] == nil {
		return fmt.Errorf("POST /data is not described")
	}
	reading := doc.Components.Schemas["Reading"].Value
	reading.AdditionalProperties = openapi3.AdditionalProperties{Has: openapi3.Ptr(true)}
	reading.Properties = openapi3.Schemas{}
	reading.Description = "A flat record; every member but machine_id, site_id, timestamp, status, message_id, sequence and data_type is a signal."
	member := func(name, description string, s *openapi3.Schema) {
		s.Description = description
		reading.Properties[name] = s.NewRef()
	}
	member("machine_id", "id of the machine within its site", openapi3.NewStringSchema())
	member("site_id", "site; by default that of the key", openapi3.NewStringSchema())
	member("timestamp", "RFC 3339, or epoch seconds or milliseconds; without an offset it is local time of the site; without a timestamp the time of receipt counts", &openapi3.Schema{})
	member("status", "what the machine is doing", openapi3.NewStringSchema().WithEnum("Running", "Idle", "Stopped", "Maintenance"))
	member("message_id", "the sender's own id of the message", openapi3.NewStringSchema())
	member("sequence", "order among records of the same time", openapi3.NewInt64Schema())
	member("data_type", "Telemetry by default", openapi3.NewStringSchema().WithEnum("Telemetry", "Production", "Quality", "Event", "State"))

	one := openapi3.NewSchemaRef("#/components/schemas/Reading", reading)
	many := openapi3.NewArraySchema()
	many.Items = one
	either := &openapi3.Schema{OneOf: openapi3.SchemaRefs{one, many.NewRef()}}
	single := map[string]any{"machine_id": "M001", "timestamp": "2026-11-22T10:15:00", "temperature": 72.31, "status": "Running"}
	examples := openapi3.Examples{
		"1-record":     {Value: &openapi3.Example{Summary: "one record", Value: single}},
		"many-records": {Value: &openapi3.Example{Summary: "many records", Value: []any{single, map[string]any{"machine_id": "M002", "status": "Idle"}}}},
	}
	lines := openapi3.NewMediaType().WithSchema(openapi3.NewStringSchema())
	lines.Example = "{\"machine_id\":\"M001\",\"temperature\":72.31}\n{\"machine_id\":\"M002\",\"status\":\"Idle\"}\n"
	item.Post.RequestBody = &openapi3.RequestBodyRef{Value: &openapi3.RequestBody{
		Required: true, Description: "one record, an array of records, or one record a line",
		Content: openapi3.Content{
			"application/json":     {Schema: either.NewRef(), Examples: examples},
			"application/x-ndjson": lines,
			"text/plain":           {Schema: openapi3.NewStringSchema().NewRef()},
		},
	}}
	for _, status := range []string{"200", "201", "202"} {
		answers := &openapi3.Schema{OneOf: openapi3.SchemaRefs{
			openapi3.NewSchemaRef("#/components/schemas/Stored", nil),
			openapi3.NewSchemaRef("#/components/schemas/BatchResult", nil),
		}}
		item.Post.Responses.Value(status).Value.Content = openapi3.NewContentWithSchema(answers, []string{"application/json"})
	}
	return nil
}
