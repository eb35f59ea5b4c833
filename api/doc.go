// Package api is plantgate's HTTP interface and nothing else: routes, access,
// problem documents, strict decoding, and one file for each resource with its
// wire types, conversions and handlers. Every handler binds, calls a service or
// a store, and answers. Rules live in the services.
//
// The comment block above each handler is read by swag; openapi/generate makes
// the OpenAPI document of it, and a test holds routes and document together.
//
//	@title			plantgate
//	@version		1.0
//	@description	Machine data in, production data out: the HTTPS interface of plantgate.
//	@description	Times are RFC 3339 in UTC, ids are strings, errors are problem documents (RFC 9457).
//	@description	Every GET route also answers HEAD, and every route OPTIONS.
//	@license.name	Apache-2.0
//	@license.url	https://www.apache.org/licenses/LICENSE-2.0
//	@BasePath		/
//
//	@securityDefinitions.apikey	ApiKey
//	@in							header
//	@name						x-api-key
//	@description				An API key, such as `plantgate keys create` prints.
package api
