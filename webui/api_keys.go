package webui

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recado/webui/auth"
)

// Key is an API key without its secret.
type Key struct {
	ID         string       `json:"id" doc:"UUIDv7"`
	Name       string       `json:"name"`
	Prefix     string       `json:"prefix" doc:"Its first characters, to recognise it by" example:"rk_ABCDEF"`
	Scopes     []auth.Scope `json:"scopes" nullable:"false"`
	Class      *string      `json:"class" doc:"The only class that it may send; null: any"`
	Networks   []string     `json:"networks" nullable:"false" doc:"Where it may come from; none: anywhere"`
	CreatedAt  time.Time    `json:"created_at"`
	ExpiresAt  *time.Time   `json:"expires_at"`
	LastUsedAt *time.Time   `json:"last_used_at" doc:"To the minute"`
}

func keyOf(k auth.Key) Key {
	return Key{ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: k.Scopes, Class: some(k.Class), Networks: k.Networks,
		CreatedAt: k.CreatedAt.UTC(), ExpiresAt: when(k.ExpiresAt), LastUsedAt: when(k.LastUsedAt)}
}

// NewKey is the one answer that has the secret.
type NewKey struct {
	Key
	Secret string `json:"key" doc:"The key itself. It is shown this once and not kept" example:"rk_…"`
}

// KeyList is the keys in use.
type KeyList list[Key]

func (s *Server) listKeys() *operation {
	type (
		in  struct{ Paging }
		out struct{ Body KeyList }
	)
	return op(operation{id: "list-keys", tag: "Keys", summary: "The API keys in use, newest first"},
		func(ctx context.Context, in *in) (*out, error) {
			keys, err := s.auth.Keys(ctx)
			if err != nil {
				return nil, err
			}
			part, next, err := cut(keys, in.Paging)
			return &out{KeyList(listed(part, next, keyOf))}, err
		})
}

// KeyRequest is what a new key shall be able to do.
type KeyRequest struct {
	Name      string       `json:"name" minLength:"1" maxLength:"64" doc:"Whose it is"`
	Scopes    []auth.Scope `json:"scopes" nullable:"false" minItems:"1" maxItems:"13"`
	Class     string       `json:"class,omitempty" enum:"otp,alert,normal,bulk" doc:"The only class that it may send; any when absent"`
	Networks  []string     `json:"networks,omitempty" nullable:"false" maxItems:"32" doc:"Networks (192.168.1.0/24) or addresses it may come from; anywhere when absent"`
	ExpiresAt *time.Time   `json:"expires_at,omitempty" doc:"Never when absent"`
}

// TransformSchema names the scopes that there are.
func (KeyRequest) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	items := s.Properties["scopes"].Items
	for _, scope := range auth.Scopes() {
		items.Enum = append(items.Enum, string(scope))
	}
	items.PrecomputeMessages()
	return s
}

func (s *Server) createKey() *operation {
	type (
		in  struct{ Body KeyRequest }
		out struct {
			CacheControl string `header:"Cache-Control"`
			Body         NewKey
		}
	)
	return op(operation{id: "create-key", tag: "Keys", summary: "Make an API key", status: http.StatusCreated,
		description: "The answer's key is shown this once."},
		func(ctx context.Context, in *in) (*out, error) {
			n := auth.NewKey{Name: in.Body.Name, Scopes: in.Body.Scopes, Class: in.Body.Class, Networks: in.Body.Networks}
			if in.Body.ExpiresAt != nil {
				n.ExpiresAt = *in.Body.ExpiresAt
			}
			secret, key, err := s.auth.CreateKeyBy(ctx, callerOf(ctx).principal, n)
			if err != nil {
				return nil, err
			}
			return &out{CacheControl: "no-store", Body: NewKey{keyOf(key), secret}}, nil
		})
}

func (s *Server) revokeKey() *operation {
	type in struct {
		ID string `path:"id" maxLength:"64" doc:"The key's id"`
	}
	return op(operation{id: "revoke-key", tag: "Keys", summary: "End an API key at once", status: http.StatusNoContent},
		func(ctx context.Context, in *in) (*struct{}, error) {
			return nil, s.auth.RevokeKeyBy(ctx, callerOf(ctx).principal, in.ID)
		})
}
