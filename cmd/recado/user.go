package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"golang.org/x/term"
)

// userCreateCmd is `recado user create`.
type userCreateCmd struct {
	configFlag
	dataFlag
	Name string `required:"" help:"Name to sign in with."`
	Role string `required:"" help:"admin, operator or reader."`
}

// Run reads the password from standard input, one line: from a terminal without echo.
func (c *userCreateCmd) Run(ctx context.Context, t terminal) (err error) {
	password, err := readPassword(t)
	if err != nil {
		return err
	}
	ask, closer, err := attach(ctx, dataDir(c.Data), phoneFlag{Country: "ES"}, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	in := newUser{Name: c.Name, Role: c.Role, Password: password}
	if err := ask.Do(ctx, http.MethodPost, "/control/users", in, nil); err != nil {
		return fmt.Errorf("make the account: %w", err)
	}
	_, err = fmt.Fprintf(t.Err, "account %s made\n", c.Name)
	return err
}

func readPassword(t terminal) (string, error) {
	if file, ok := t.In.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprint(t.Err, "Password: ")
		text, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(t.Err)
		return string(text), err
	}
	line, err := bufio.NewReader(io.LimitReader(t.In, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password from standard input: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", usagef("no password on standard input: give it there, on one line")
	}
	return line, nil
}
