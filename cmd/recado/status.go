package main

import (
	"context"
	"errors"

	"recado/cmd/recado/console"
)

// statusCmd is `recado status`: the console's own, once.
type statusCmd struct {
	configFlag
	dataFlag
}

// Run prints what the console's status, lines and modem list print.
func (c *statusCmd) Run(ctx context.Context, t terminal) (err error) {
	ask, closer, err := attach(ctx, dataDir(c.Data), phoneFlag{Country: "ES"}, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	shell := console.New(console.Options{API: ask, Language: language()})
	parts := []string{"status", "lines", "modem list"}
	if ask.Alone() {
		parts = parts[:1] // there are no modems without a daemon
	}
	for _, command := range parts {
		if err := shell.Exec(ctx, command, t.Out); err != nil {
			return err
		}
	}
	return nil
}
