package webui

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"
)

// seen names what a form was filled with, so that whoever saves it changes what he
// saw and not what somebody else has made of it since: a form sends all its fields,
// also those that nobody touched. Its form has it in the hidden field seen.
func seen(what ...any) string {
	b, err := json.Marshal(what)
	if err != nil { // of nothing that has a form
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// stale says that what a form was filled with is not what holds. A request without
// the field is nobody's who looked at a page.
func stale(c echo.Context, now string) bool {
	was := c.FormValue("seen")
	return was != "" && was != now
}

// errStale: what a form would change has been changed by somebody else.
var errStale = errors.New("somebody else has changed it")

// staleStatus is of the page that shows what holds instead.
const staleStatus = http.StatusConflict
