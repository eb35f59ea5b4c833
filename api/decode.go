package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// decode reads the body of an ordinary resource into v. It refuses what
// encoding/json would let pass: members that v lacks, members that come twice,
// names in another case, invalid UTF-8, a second value after the first, and a
// missing body.
func (a *API) decode(c echo.Context, v any) error {
	body, err := a.jsonBody(c)
	if err != nil {
		return err
	}
	return decodeStrict(body, v)
}

// jsonBody is the body of an ordinary resource.
func (a *API) jsonBody(c echo.Context) ([]byte, error) {
	name, err := mediaType(c.Request())
	if err != nil {
		return nil, err
	}
	if !isJSON(name) {
		return nil, mes.Errorf(mes.CodeUnsupported, "the Content-Type must be application/json")
	}
	return a.readBody(c)
}

// decodeOptional is decode for bodies that may be missing.
func (a *API) decodeOptional(c echo.Context, v any) error {
	if c.Request().ContentLength == 0 {
		return nil
	}
	return a.decode(c, v)
}

func decodeStrict(body []byte, v any) error {
	return decodeJSON(body, v, json.RejectUnknownMembers(true))
}

func decodeJSON(body []byte, v any, options ...json.Options) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return mes.Errorf(mes.CodeMalformed, "the body is empty")
	}
	err := json.Unmarshal(body, v, options...)
	if err == nil {
		return nil
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) && !isSyntactic(semantic.Err) {
		return mes.Invalid([]mes.FieldError{{Pointer: string(semantic.JSONPointer), Detail: semanticDetail(semantic)}})
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		if mes.JSONDepth(body[:min(int(syntactic.ByteOffset)+1, len(body))]) > deepest {
			return mes.Invalid([]mes.FieldError{{Pointer: outermost(syntactic.JSONPointer), Detail: fmt.Sprintf("is nested deeper than %d levels", deepest)}})
		}
		fault := mes.Errorf(mes.CodeMalformed, "the body is not valid JSON at byte %d: %s", syntactic.ByteOffset, syntaxDetail(syntactic.Err))
		fault.Fields = []mes.FieldError{{Pointer: string(syntactic.JSONPointer), Detail: syntaxDetail(syntactic.Err)}}
		return fault
	}
	return mes.Errorf(mes.CodeMalformed, "the body is not valid JSON")
}

// deepest is how deep JSON may be nested to be read at all, by the library.
const deepest = 10_000

// outermost is the pointer of the member of the body that a pointer leads into.
func outermost(p jsontext.Pointer) string {
	for token := range p.Tokens() {
		return mes.Pointer(token)
	}
	return ""
}

func isSyntactic(err error) bool {
	var syntactic *jsontext.SyntacticError
	return errors.As(err, &syntactic)
}

// What is wrong with a member that is none, and with a time.
const (
	detailUnknown = "is not a member of this resource"
	detailTime    = "must be RFC 3339 with an offset, such as 2026-11-22T10:25:00Z or 2026-11-22T15:55:00+05:30"
)

// semanticDetail says what was expected, without the names of Go types.
func semanticDetail(err *json.SemanticError) string {
	if errors.Is(err, json.ErrUnknownName) {
		return detailUnknown
	}
	if err.GoType == reflect.TypeFor[time.Time]() {
		return detailTime
	}
	var fault *mes.Error
	if errors.As(err, &fault) {
		return fault.Message
	}
	if err.JSONKind != 0 {
		return "has a value of the wrong type: " + kindName(err.JSONKind)
	}
	return "has a value of the wrong type"
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	default:
		return "an array"
	}
}

func syntaxDetail(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "a member comes twice"
	case err == nil:
		return "it can't be read"
	}
	return strings.TrimPrefix(err.Error(), "jsontext: ")
}
