package webui

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// docsPage loads Swagger UI from static/docs, where it is kept whole: the box
// may have no Internet.
const docsPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Recado · API</title>
<link rel="stylesheet" href="/static/docs/swagger-ui.css">
<link rel="stylesheet" href="/static/docs/docs.css">
</head>
<body>
<header><strong>Recado</strong> <a href="/">Home</a> <a href="/openapi.json">openapi.json</a></header>
<main id="docs"><noscript><p>The description itself is at <a href="/openapi.json">/openapi.json</a>; this viewer of it needs JavaScript.</p></noscript></main>
<script src="/static/docs/swagger-ui-bundle.js"></script>
<script src="/static/docs/docs.js"></script>
</body>
</html>
`

// docs shows the API's description. The viewer draws its arrows with data: images
// in its style sheet; nothing else of the policy is loosened.
func (s *Server) docs(c echo.Context) error {
	c.Response().Header().Set("Content-Security-Policy", policy+"; img-src 'self' data:")
	c.Response().Header().Set(echo.HeaderCacheControl, "no-cache")
	return c.HTML(http.StatusOK, docsPage)
}
