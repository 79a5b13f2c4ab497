package webui

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"
)

// operation is an API route's handler with its description.
type operation struct {
	id, tag, summary, description string
	status                        int   // of success; 200 when 0
	maxBody                       int64 // bytes; 64 KiB when 0
	attach                        func(*Server, route)
}

// op makes an operation of a handler. Its types make the OpenAPI description
// and what is checked before the handler is called.
func op[I, O any](o operation, handler func(context.Context, *I) (*O, error)) *operation {
	if o.maxBody == 0 {
		o.maxBody = 64 << 10
	}
	if o.status == 0 {
		o.status = http.StatusOK
	}
	o.attach = func(s *Server, r route) {
		huma.Register(s.api, huma.Operation{
			Method: r.method, Path: r.path, OperationID: o.id, Tags: []string{o.tag}, Summary: o.summary,
			Description: describeAccess(o.description, r.who), DefaultStatus: o.status, MaxBodyBytes: o.maxBody,
			BodyReadTimeout: 15 * time.Second, RejectUnknownQueryParameters: true,
			Responses: map[string]*huma.Response{"default": problemResponse(s.api.OpenAPI().Components.Schemas)},
			Security:  security(),
		}, func(ctx context.Context, in *I) (*O, error) {
			out, err := handler(ctx, in)
			if err != nil {
				return nil, s.problem(ctx, err)
			}
			return out, nil
		})
	}
	return &o
}

func security() []map[string][]string { return []map[string][]string{{"bearer": {}}, {"header": {}}} }

// problemResponse describes every answer that is not the good one.
func problemResponse(schemas huma.Registry) *huma.Response {
	return &huma.Response{Description: "An error", Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")}}}
}

func describeAccess(description string, who access) string {
	if description != "" {
		description += "\n\n"
	}
	return description + "Needs " + who.String() + "."
}

// newAPI is huma over Echo, without what it adds by itself: no $schema in
// bodies, no pages that load from elsewhere.
func (s *Server) newAPI() huma.API {
	config := huma.DefaultConfig("Recado", s.version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil
	format := huma.Format{Marshal: marshal, Unmarshal: json.Unmarshal}
	config.Formats = map[string]huma.Format{"application/json": format, "json": format} // the second for …+json
	config.Info.Description = apiDescription
	for _, name := range []string{"Messages", "Received", "SIMs and modems", "Routes", "Status", "Webhooks", "Events", "Keys", "Emulator"} {
		config.Tags = append(config.Tags, &huma.Tag{Name: name})
	}
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "An API key (rk_…)"},
		"header": {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "An API key (rk_…)"},
	}
	config.Transformers = []huma.Transformer{s.transform}
	api := humaecho.New(s.echo, config)
	api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) { next(oneStatus{ctx}) })
	return api
}

const apiDescription = `Send and receive text messages with the SIMs of this box. ` +
	`Times are RFC 3339 in UTC; numbers are E.164; ids are UUIDv7. Fields that have no value are null, lists never are. ` +
	`Errors are application/problem+json with a stable code.`

// marshal leaves <, > and & as they are: a text is read by people too.
func marshal(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// audited leaves a row of what was done. It was done, also when who did it has left:
// that the row could not be written is for the log, not for them.
func (s *Server) audited(ctx context.Context, action, object, detail string) {
	ctx = context.WithoutCancel(ctx)
	if err := s.auth.Audit(ctx, callerOf(ctx).principal, action, object, detail); err != nil {
		s.log.Error("the audit trail lacks a row", "action", action, "object", object, "err", err)
	}
}

// oneStatus makes huma's 400 (JSON that cannot be read, no body) the 422 that
// the contract knows, and lets what is left of a body too large be read, so that
// a client that is still sending it gets to see the answer.
type oneStatus struct{ humaContext }

type humaContext = huma.Context // embedded under a name that is not its method's

// Unwrap lets humaecho find its own context.
func (c oneStatus) Unwrap() huma.Context { return c.humaContext }

// SetStatus implements huma.Context.
func (c oneStatus) SetStatus(status int) {
	if status == http.StatusBadRequest {
		status = http.StatusUnprocessableEntity
	}
	c.humaContext.SetStatus(status)
}

// BodyReader implements huma.Context.
func (c oneStatus) BodyReader() io.Reader { return drained{c.humaContext.BodyReader()} }

// maxDrain is how much of a refused body is read and thrown away.
const maxDrain = 8 << 20

type drained struct{ io.Reader }

// Close implements io.Closer; huma calls it when it has read what it wants.
func (d drained) Close() error {
	_, err := io.CopyN(io.Discard, d.Reader, maxDrain)
	if err == io.EOF {
		return nil
	}
	return err
}

// transform gives errors their final form.
func (s *Server) transform(ctx huma.Context, _ string, v any) (any, error) {
	switch e := v.(type) {
	case *Problem:
		s.stamp(humaecho.Unwrap(ctx), e)
		return e, nil
	case *huma.ErrorModel:
		c := humaecho.Unwrap(ctx)
		var p *Problem
		if e.Status >= 500 {
			p = newProblem(e.Status, "")
		} else {
			p = fromHuma(e)
		}
		s.stamp(c, p)
		return p, nil
	}
	return v, nil
}

// describe finishes the OpenAPI description: what huma cannot know of.
func (s *Server) describe() error {
	api := s.api.OpenAPI()
	schemas := api.Components.Schemas
	for _, r := range s.routes {
		if r.path == v1+"/events" {
			s.describeEvents(api, r.path, r.who)
		}
	}
	// Every error is a Problem; huma's own model is only an intermediate form.
	delete(schemas.Map(), "ErrorModel")
	delete(schemas.Map(), "ErrorDetail")
	var err error
	s.openapi, err = json.Marshal(api)
	return err
}

func (s *Server) openAPI(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.Blob(http.StatusOK, "application/json", s.openapi)
}
