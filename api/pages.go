package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"slices"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

	"plantgate/api/web"
	"plantgate/internal/mes"
	"plantgate/openapi"
)

// inlineScript finds scripts, of which those with a text stand in the page.
var inlineScript = regexp.MustCompile(`(?s)<script(?:\s[^>]*)?>(.*?)</script>`)

// pagePolicy allows a page its own files and the scripts that stand in it, by
// their hash (Content Security Policy Level 3, 2.3.1), and nothing from elsewhere.
func pagePolicy(page []byte) string {
	scripts := "'self'"
	for _, m := range inlineScript.FindAllSubmatch(page, -1) {
		if len(m[1]) == 0 {
			continue
		}
		sum := sha256.Sum256(m[1])
		scripts += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; script-src " + scripts + "; style-src 'self' 'unsafe-inline'; " +
		"img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// getLivePage shows the plant.
//
//	@Summary	Show the live page
//	@Tags		pages
//	@ID			getLivePage
//	@Produce	html
//	@Success	200	{string}	string
//	@Router		/ [get]
func (a *API) getLivePage(c echo.Context) error {
	return serveWebFile(c, "index.html")
}

// addLivePageFiles adds a route for each file of the live page, so that nothing
// else at the root answers.
func (a *API) addLivePageFiles() error {
	names, err := web.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != "index.html" {
			a.echo.GET("/"+name, func(c echo.Context) error { return serveWebFile(c, name) })
		}
	}
	return nil
}

func serveWebFile(c echo.Context, name string) error {
	content, err := fs.ReadFile(web.Files, name)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set(echo.HeaderCacheControl, "no-cache")
	if path.Ext(name) == ".html" {
		h.Set(echo.HeaderContentSecurityPolicy, pagePolicy(content))
	}
	return c.Blob(http.StatusOK, mime.TypeByExtension(path.Ext(name)), content)
}

// getOpenAPI returns the OpenAPI document.
//
//	@Summary	Read the OpenAPI document
//	@Tags		operation
//	@ID			getOpenAPI
//	@Produce	json
//	@Success	200	{object}	object
//	@Router		/openapi.json [get]
func (a *API) getOpenAPI(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-cache")
	return c.JSONBlob(http.StatusOK, openapi.Document)
}

const swaggerPath = "/swagger/"

// redirectSwagger leads to the page with its slash.
//
//	@Summary	Lead to Swagger UI
//	@Tags		pages
//	@ID			redirectSwagger
//	@Success	308
//	@Header		308	{string}	Location	"/swagger/"
//	@Router		/swagger [get]
func (a *API) redirectSwagger(c echo.Context) error {
	return c.Redirect(http.StatusPermanentRedirect, swaggerPath)
}

// swaggerFiles are the files of Swagger UI that its page asks for.
func swaggerFiles() []string {
	return []string{
		"swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js",
		"favicon-16x16.png", "favicon-32x32.png",
	}
}

func swaggerUI() http.Handler {
	return v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "plantgate", SwaggerJSON: "/openapi.json", BasePath: swaggerPath,
		SettingsUI: map[string]string{"tryItOutEnabled": "true", "displayRequestDuration": "true"},
	})
}

// getSwagger shows Swagger UI.
//
//	@Summary	Show Swagger UI
//	@Tags		pages
//	@ID			getSwagger
//	@Produce	html
//	@Success	200	{string}	string
//	@Router		/swagger/ [get]
func (a *API) getSwagger(c echo.Context) error {
	var page pageBuffer
	swaggerUI().ServeHTTP(&page, c.Request())
	c.Response().Header().Set(echo.HeaderContentSecurityPolicy, pagePolicy(page.Bytes()))
	return c.HTMLBlob(http.StatusOK, page.Bytes())
}

// pageBuffer keeps a page that a handler writes.
type pageBuffer struct {
	bytes.Buffer
	header http.Header
}

func (b *pageBuffer) Header() http.Header {
	if b.header == nil {
		b.header = make(http.Header)
	}
	return b.header
}

func (b *pageBuffer) WriteHeader(int) {}

// getSwaggerFile returns a file of Swagger UI.
//
//	@Summary	Read a file of Swagger UI
//	@Tags		pages
//	@ID			getSwaggerFile
//	@Param		file	path		string	true	"name"	Enums(swagger-ui.css, swagger-ui-bundle.js, swagger-ui-standalone-preset.js, favicon-16x16.png, favicon-32x32.png)
//	@Success	200		{file}		binary
//	@Failure	404		{object}	problemDocument
//	@Router		/swagger/{file} [get]
func (a *API) getSwaggerFile(c echo.Context) error {
	if !slices.Contains(swaggerFiles(), c.Param("file")) {
		return mes.Errorf(mes.CodeNotFound, "Swagger UI has no such file")
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "max-age=3600")
	r := c.Request().Clone(c.Request().Context())
	r.Header.Del("If-None-Match") // answers are always whole, as documented
	r.Header.Del("Range")
	swaggerUI().ServeHTTP(c.Response(), r)
	return nil
}
