package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// keyCreateCmd is `recado key create`.
type keyCreateCmd struct {
	configFlag
	dataFlag
	Name  string   `required:"" help:"What the key is for."`
	Scope []string `required:"" placeholder:"S[,S…]" help:"What it may do: messages:send, messages:read, inbox:read, …, admin."`
}

// Run prints the new key and nothing else.
func (c *keyCreateCmd) Run(ctx context.Context, t terminal) (err error) {
	ask, closer, err := attach(ctx, dataDir(c.Data), phoneFlag{Country: "ES"}, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	var made struct {
		Key string `json:"key"`
	}
	in := map[string]any{"name": c.Name, "scopes": c.Scope}
	if err := ask.Do(ctx, http.MethodPost, "/api/v1/keys", in, &made); err != nil {
		return fmt.Errorf("make the key: %w", err)
	}
	_, err = fmt.Fprintln(t.Out, made.Key)
	return err
}
