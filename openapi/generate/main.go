// Command generate makes openapi/swagger.json and openapi/openapi.json of the
// comments in package api. Run it in the root of the module:
//
//	go run ./openapi/generate         writes the files
//	go run ./openapi/generate -check  fails if they are not up to date
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/swaggo/swag/gen"
)

func main() {
	check := flag.Bool("check", false, "fail if the files are not up to date")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	swagger, err := readComments("api")
	if err != nil {
		return err
	}
	document, err := convert(swagger)
	if err != nil {
		return err
	}
	return errors.Join(
		put(filepath.Join("openapi", "swagger.json"), swagger, check),
		put(filepath.Join("openapi", "openapi.json"), document, check),
	)
}

// readComments returns the Swagger 2.0 document that swag makes.
func readComments(folder string) ([]byte, error) {
	out, err := os.MkdirTemp("", "openapi")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	err = gen.New().Build(&gen.Config{
		SearchDir: folder, MainAPIFile: "doc.go", OutputDir: out, OutputTypes: []string{"json"},
		PropNamingStrategy: "snakecase", Strict: true, Debugger: log.New(io.Discard, "", 0),
		LeftTemplateDelim: "{{", RightTemplateDelim: "}}",
	})
	if err != nil {
		return nil, fmt.Errorf("comments of %s: %w", folder, err)
	}
	text, err := os.ReadFile(filepath.Join(out, "swagger.json"))
	if err != nil {
		return nil, err
	}
	return pretty(text)
}

// convert makes the OpenAPI 3.0.3 document and validates it.
func convert(swagger []byte) ([]byte, error) {
	var v2 openapi2.T
	if err := json.Unmarshal(swagger, &v2); err != nil {
		return nil, err
	}
	doc, err := openapi2conv.ToV3(&v2)
	if err != nil {
		return nil, fmt.Errorf("conversion: %w", err)
	}
	if err := patch(doc); err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		return nil, err
	}
	// Loading it again resolves the references that the patch made.
	loaded, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, fmt.Errorf("the document can't be loaded: %w", err)
	}
	if err := loaded.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("the document is not valid: %w", err)
	}
	return pretty(text)
}

// pretty sorts members by name, so that equal documents are equal bytes.
func pretty(text []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

func put(name string, content []byte, check bool) error {
	if !check {
		return os.WriteFile(name, content, 0o644)
	}
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(old, content) {
		return fmt.Errorf("%s is not up to date: run go run ./openapi/generate", name)
	}
	return nil
}
