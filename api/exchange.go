package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// exchange is a request with its answer: what the interface keeps of them beside
// echo's context. It is the writer of the answer. Exchanges are used again and
// again, so that a small request costs next to no memory.
type exchange struct {
	answer
	context echo.Context
	// key is the caller's, once the request has passed require.
	key           mes.APIKey
	authenticated bool
	// bodyAllowance is what the body may take, small the memory of a small one.
	bodyAllowance allowance
	small         []byte
	// record is that of a request with one.
	record *[1]mes.Record
	// text is memory for answers that are put together by hand.
	text []byte
	// keyText is the id of keyTextOf as text: callers mostly come again.
	keyTextOf mes.ID
	keyText   string
}

// exchangeOf returns the exchange that a handler is called for.
func exchangeOf(c echo.Context) *exchange { return c.Response().Writer.(*exchange) }

// begin takes an exchange into use.
func (a *API) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x, ok := a.exchanges.Get().(*exchange)
	if !ok {
		x = &exchange{answer: answer{zips: &a.zips}}
		x.context = a.echo.NewContext(r, x)
	}
	x.answer.begin(w)
	x.context.Reset(r, x)
	return x
}

// end gives back what the exchange used.
func (a *API) end(x *exchange) {
	x.bodyAllowance.giveBack()
	x.bodyAllowance = allowance{}
	if x.record != nil {
		x.record[0] = mes.Record{}
	}
	x.key, x.authenticated = mes.APIKey{}, false
	x.answer.begin(nil)
	a.exchanges.Put(x)
}

// keyID is the id of the caller's key as text.
func (x *exchange) keyID() string {
	if x.keyText == "" || x.keyTextOf != x.key.ID {
		x.keyTextOf, x.keyText = x.key.ID, x.key.ID.String()
	}
	return x.keyText
}
