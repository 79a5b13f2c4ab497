package webui

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recado/queue/webhook"
	"recado/webui/auth"
)

// Webhook is an address that is told what happens, without its secret.
type Webhook struct {
	ID           string     `json:"id" doc:"UUIDv7"`
	URL          string     `json:"url"`
	Events       []string   `json:"events" nullable:"false" doc:"Which events: message.sent, message.*, *"`
	Description  string     `json:"description"`
	Active       bool       `json:"active"`
	AllowPrivate bool       `json:"allow_private" doc:"It may be in a private network, without TLS and on any port from 1024"`
	Health       string     `json:"health" enum:"new,ok,failing,off,gone" doc:"new: nothing was delivered yet; failing: the last three attempts or more failed; off: switched off; gone: switched off because it answered 410"`
	FailingSince *time.Time `json:"failing_since"`
	LastError    *string    `json:"last_error" doc:"Why the last attempt failed; null when it arrived"`
	LastStatus   *int       `json:"last_status" doc:"HTTP status of the last answer"`
	LastAttempt  *time.Time `json:"last_attempt_at"`
	LastSuccess  *time.Time `json:"last_success_at"`
	Pending      int        `json:"pending" doc:"Deliveries that wait for an attempt"`
	Dead         int        `json:"dead" doc:"Deliveries that were given up"`
	OldSecret    *time.Time `json:"old_secret_until" doc:"Until then events are signed with the secret before the last rotation, too"`
	CreatedAt    time.Time  `json:"created_at"`
}

func webhookOf(e webhook.Endpoint) Webhook {
	w := Webhook{ID: e.ID, URL: e.URL, Events: e.Events, Description: e.Description, Active: e.Active, AllowPrivate: e.AllowPrivate,
		Health: e.Health, FailingSince: when(e.FailingSince), LastError: some(e.LastError), LastAttempt: when(e.LastAttempt),
		LastSuccess: when(e.LastSuccess), Pending: e.Pending, Dead: e.Dead, OldSecret: when(e.OldSecretUntil), CreatedAt: e.CreatedAt}
	if e.LastStatus > 0 {
		w.LastStatus = &e.LastStatus
	}
	return w
}

// WebhookWithSecret is the one answer that has the secret.
type WebhookWithSecret struct {
	Webhook
	Secret string `json:"secret" doc:"What events are signed with. It is shown this once" example:"whsec_…"`
}

type secretOut struct {
	CacheControl string `header:"Cache-Control"`
	Body         WebhookWithSecret
}

func secretOf(e webhook.Endpoint, secret string) *secretOut {
	return &secretOut{CacheControl: "no-store", Body: WebhookWithSecret{webhookOf(e), secret}}
}

// WebhookList is all webhooks.
type WebhookList list[Webhook]

// WebhookDelivery is one event on its way to one webhook.
type WebhookDelivery struct {
	ID            string     `json:"id" doc:"UUIDv7"`
	Webhook       string     `json:"webhook"`
	EventID       string     `json:"event_id" doc:"The webhook-id of every attempt"`
	Type          string     `json:"type" example:"message.delivered"`
	Sequence      int64      `json:"sequence" doc:"The event's"`
	State         string     `json:"state" enum:"pending,delivered,dead,skipped,failed" doc:"dead: given up, until it is replayed; skipped: the event was erased; failed: a test, which is not tried again"`
	Attempts      int        `json:"attempts"`
	Status        *int       `json:"status" doc:"HTTP status of the last answer"`
	Error         *string    `json:"error" doc:"Why the last attempt failed"`
	CreatedAt     time.Time  `json:"created_at"`
	LastAttemptAt *time.Time `json:"last_attempt_at"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	DoneAt        *time.Time `json:"done_at"`
}

func deliveryOf(d webhook.Delivery) WebhookDelivery {
	w := WebhookDelivery{ID: d.ID, Webhook: d.Webhook, EventID: d.EventID, Type: d.Type, Sequence: d.Sequence, State: string(d.State),
		Attempts: d.Attempts, Error: some(d.Error), CreatedAt: d.CreatedAt, LastAttemptAt: when(d.TriedAt), NextAttemptAt: when(d.NextAt), DoneAt: when(d.DoneAt)}
	if d.Status > 0 {
		w.Status = &d.Status
	}
	return w
}

// WebhookDeliveryList is deliveries, newest event first.
type WebhookDeliveryList list[WebhookDelivery]

type deliveryOut struct{ Body WebhookDelivery }

// WebhookPath names a webhook.
type WebhookPath struct {
	ID string `path:"id" maxLength:"64" doc:"The webhook's id"`
}

type webhookOut struct{ Body Webhook }

// WebhookRequest is a new webhook.
type WebhookRequest struct {
	URL          string   `json:"url" minLength:"1" maxLength:"2000" doc:"Where events are posted; https, unless allow_private"`
	Events       []string `json:"events" nullable:"false" minItems:"1" maxItems:"32" doc:"Kinds of events: message.sent, message.* or *" example:"[\"message.*\",\"inbound.received\"]"`
	Description  string   `json:"description,omitempty" maxLength:"200"`
	Active       *bool    `json:"active,omitempty" doc:"true when absent"`
	AllowPrivate bool     `json:"allow_private,omitempty" doc:"Let it be in a private network, without TLS and on any port from 1024. Needs admin"`
}

// WebhookChange is what shall be otherwise.
type WebhookChange struct {
	URL          *string  `json:"url,omitempty" minLength:"1" maxLength:"2000"`
	Events       []string `json:"events,omitempty" nullable:"false" minItems:"1" maxItems:"32"`
	Description  *string  `json:"description,omitempty" maxLength:"200"`
	Active       *bool    `json:"active,omitempty" doc:"One that is switched on hears of what happens from then on"`
	AllowPrivate *bool    `json:"allow_private,omitempty" doc:"Needs admin to be true, as does another url while it is"`
}

// TransformSchema names the events that there are.
func (WebhookRequest) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["events"].Items.Examples = []any{}
	for _, typ := range webhook.Types {
		s.Properties["events"].Items.Examples = append(s.Properties["events"].Items.Examples, typ)
	}
	return s
}

// hooked makes of the outbox's errors what a client is told; others stay.
func hooked(err error) error {
	for is, status := range map[error]int{webhook.ErrNotFound: 404, webhook.ErrNoDelivery: 404, webhook.ErrErased: 409, webhook.ErrTooMany: 409, webhook.ErrBusy: 429} {
		if errors.Is(err, is) {
			return newProblem(status, is.Error())
		}
	}
	return err
}

// hookOp is op for routes that need the outbox.
func hookOp[I, O any](s *Server, o operation, handler func(context.Context, *I) (*O, error)) *operation {
	o.tag = "Webhooks"
	return op(o, func(ctx context.Context, in *I) (*O, error) {
		if s.hooks == nil {
			return nil, newProblem(http.StatusNotFound, "this Recado runs without webhooks")
		}
		out, err := handler(ctx, in)
		return out, hooked(err)
	})
}

// mayPrivate says whether who asks may let a webhook into private networks.
func mayPrivate(ctx context.Context) error {
	if callerOf(ctx).principal.May(auth.Admin) {
		return nil
	}
	return newProblem(http.StatusForbidden, "private networks are for an administrator to allow: this needs the scope admin")
}

func (s *Server) listWebhooks() *operation {
	type (
		in  struct{ Paging }
		out struct{ Body WebhookList }
	)
	return hookOp(s, operation{id: "list-webhooks", summary: "The webhooks, newest first"},
		func(ctx context.Context, in *in) (*out, error) {
			all, err := s.hooks.List(ctx)
			if err != nil {
				return nil, err
			}
			part, next, err := cut(all, in.Paging)
			return &out{WebhookList(listed(part, next, webhookOf))}, err
		})
}

func (s *Server) createWebhook() *operation {
	type in struct{ Body WebhookRequest }
	return hookOp(s, operation{id: "create-webhook", summary: "Add a webhook", status: http.StatusCreated,
		description: "It is told what happens from now on, at least once, signed as Standard Webhooks lays down. The secret is shown this once. " +
			"Events of received messages carry their text. At most 32 webhooks are kept."},
		func(ctx context.Context, in *in) (*secretOut, error) {
			if in.Body.AllowPrivate {
				if err := mayPrivate(ctx); err != nil {
					return nil, err
				}
			}
			e, secret, err := s.hooks.Create(ctx, webhook.Endpoint{URL: in.Body.URL, Events: in.Body.Events, Description: in.Body.Description,
				Active: in.Body.Active == nil || *in.Body.Active, AllowPrivate: in.Body.AllowPrivate})
			if err != nil {
				return nil, err
			}
			s.audited(ctx, "webhook.create", e.ID, "")
			return secretOf(e, secret), nil
		})
}

func (s *Server) getWebhook() *operation {
	return hookOp(s, operation{id: "get-webhook", summary: "One webhook, and how it does"},
		func(ctx context.Context, in *WebhookPath) (*webhookOut, error) {
			e, err := s.hooks.Get(ctx, in.ID)
			return &webhookOut{webhookOf(e)}, err
		})
}

func (s *Server) patchWebhook() *operation {
	type in struct {
		WebhookPath
		Body WebhookChange
	}
	return hookOp(s, operation{id: "change-webhook", summary: "Change a webhook, or switch it on or off"},
		func(ctx context.Context, in *in) (*webhookOut, error) {
			was, err := s.hooks.Get(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			c := webhook.Change{URL: in.Body.URL, Events: in.Body.Events, Description: in.Body.Description, Active: in.Body.Active, AllowPrivate: in.Body.AllowPrivate}
			private := was.AllowPrivate
			if c.AllowPrivate != nil {
				private = *c.AllowPrivate
			}
			if private && (!was.AllowPrivate || c.URL != nil && *c.URL != was.URL) {
				if err := mayPrivate(ctx); err != nil {
					return nil, err
				}
			}
			e, err := s.hooks.Update(ctx, in.ID, c)
			if err != nil {
				return nil, err
			}
			s.audited(ctx, "webhook.change", e.ID, "")
			return &webhookOut{webhookOf(e)}, nil
		})
}

func (s *Server) deleteWebhook() *operation {
	return hookOp(s, operation{id: "delete-webhook", summary: "Delete a webhook with its deliveries", status: http.StatusNoContent},
		func(ctx context.Context, in *WebhookPath) (*struct{}, error) {
			if err := s.hooks.Delete(ctx, in.ID); err != nil {
				return nil, err
			}
			s.audited(ctx, "webhook.delete", in.ID, "")
			return nil, nil
		})
}

func (s *Server) testWebhook() *operation {
	return hookOp(s, operation{id: "test-webhook", summary: "Post a system.test event to a webhook and wait for its answer",
		description: "The answer says what came of it: state delivered or failed. It is not tried again. One that arrives also ends the waiting of what could not be delivered before."},
		func(ctx context.Context, in *WebhookPath) (*deliveryOut, error) {
			d, err := s.hooks.Test(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			s.audited(ctx, "webhook.test", in.ID, "")
			return &deliveryOut{deliveryOf(d)}, nil
		})
}

func (s *Server) rotateWebhook() *operation {
	return hookOp(s, operation{id: "rotate-webhook", summary: "Give a webhook a new secret",
		description: "The new one is shown this once. For 24 hours events are signed with both."},
		func(ctx context.Context, in *WebhookPath) (*secretOut, error) {
			e, secret, err := s.hooks.Rotate(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			s.audited(ctx, "webhook.rotate", in.ID, "")
			return secretOf(e, secret), nil
		})
}

func (s *Server) listDeliveries() *operation {
	type (
		in struct {
			WebhookPath
			Paging
			State string `query:"state" enum:"pending,delivered,dead,skipped,failed" doc:"Only these"`
		}
		out struct{ Body WebhookDeliveryList }
	)
	return hookOp(s, operation{id: "list-webhook-deliveries", summary: "What was, or is to be, delivered to a webhook, newest event first",
		description: "What arrived is kept for 7 days, what was given up for 30."},
		func(ctx context.Context, in *in) (*out, error) {
			items, next, err := s.hooks.Deliveries(ctx, in.ID, webhook.State(in.State), in.Limit, in.Cursor)
			return &out{WebhookDeliveryList(listed(items, next, deliveryOf))}, err
		})
}

func (s *Server) replayDelivery() *operation {
	type in struct {
		ID string `path:"id" maxLength:"64" doc:"The delivery's id"`
	}
	return hookOp(s, operation{id: "replay-webhook-delivery", summary: "Deliver an event again, with the same webhook-id", status: http.StatusAccepted,
		description: "One that was given up or had arrived begins anew; one that waits goes at once. 409 when the event is not kept any more."},
		func(ctx context.Context, in *in) (*deliveryOut, error) {
			d, err := s.hooks.Replay(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			s.audited(ctx, "webhook.replay", d.Webhook, d.ID)
			return &deliveryOut{deliveryOf(d)}, nil
		})
}

// Replayed says how many deliveries begin anew.
type Replayed struct {
	Replayed int `json:"replayed"`
}

func (s *Server) replayWebhook() *operation {
	type out struct{ Body Replayed }
	return hookOp(s, operation{id: "replay-webhook", summary: "Deliver everything again that was given up", status: http.StatusAccepted},
		func(ctx context.Context, in *WebhookPath) (*out, error) {
			n, err := s.hooks.ReplayDead(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			s.audited(ctx, "webhook.replay", in.ID, "")
			return &out{Replayed{n}}, nil
		})
}

// hookChoices are the events that a form offers; others are for the API.
var hookChoices = []string{"message.*", "message.sent", "message.delivered", "message.undelivered", "message.failed", "message.uncertain",
	"inbound.received", "sim.*", "sim.state", "sim.limit", "sim.credit", "modem.*"}
