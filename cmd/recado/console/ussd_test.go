package console

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// menuBox is a box whose SIM Cita is asked with *100#.
type menuBox struct{ *box }

func (b menuBox) Do(ctx context.Context, method, path string, in, out any) error {
	if !strings.HasSuffix(path, "/ussd") {
		return b.box.Do(ctx, method, path, in, out)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.asked = append(b.asked, method+" "+path+" "+string(body))
	b.mu.Unlock()
	answer, ok := map[string]string{
		`{"code":"*100#"}`: `{"text":"Menú\u001b[2J\n1. Saldo","status":"reply_wanted","wants_reply":true}`,
		`{"reply":"1"}`:    `{"text":"Su saldo es 12,34 €","status":"done"}`,
		`{"reply":"2"}`:    `{"text":"Bonos","status":"reply_wanted","wants_reply":true}`,
		`{"code":"*104#"}`: `{"text":"","status":"timeout"}`,
		`{"end":true}`:     `{"text":"","status":"terminated"}`,
	}[string(body)]
	if !ok {
		return errors.New("body.code: it is about call forwarding")
	}
	return json.Unmarshal([]byte(answer), out)
}

func TestUSSDInAScript(t *testing.T) {
	const at = "POST /api/v1/sims/893400000000000001/ussd "
	for _, row := range []struct {
		command string
		shows   string
		asks    []string
	}{
		{"ussd Cita *100# 2 1", "Menú.[2J\n1. Saldo\nBonos\nSu saldo es 12,34 €\n", []string{`{"code":"*100#"}`, `{"reply":"2"}`, `{"reply":"1"}`}},
		{"ussd 1 *100#", "Menú.[2J\n1. Saldo\n", []string{`{"code":"*100#"}`, `{"end":true}`}},
		{"ussd 893400000000000001 *104#", "The network did not answer.\n", []string{`{"code":"*104#"}`}},
	} {
		box := twoModems(t)
		var out strings.Builder
		require.NoError(t, New(Options{API: menuBox{box}}).Exec(t.Context(), row.command, &out))
		require.Equal(t, row.shows, out.String())
		for i := range row.asks {
			row.asks[i] = at + row.asks[i]
		}
		require.Equal(t, row.asks, box.wasAsked())
	}
	err := New(Options{API: menuBox{twoModems(t)}}).Exec(t.Context(), "ussd Cita *21*600#", &strings.Builder{})
	require.ErrorContains(t, err, "call forwarding")
	alone := twoModems(t)
	alone.alone = true
	require.ErrorContains(t, New(Options{API: menuBox{alone}}).Exec(t.Context(), "ussd Cita *123#", &strings.Builder{}), "recado is not running")
}

// typist gives the lines that a person types.
type typist struct{ lines []string }

func (t *typist) ReadLine(string) (string, error) {
	if len(t.lines) == 0 {
		return "", errInterrupted
	}
	line := t.lines[0]
	t.lines = t.lines[1:]
	return line, nil
}
func (t *typist) ReadPassword(p string) (string, error) { return t.ReadLine(p) }
func (t *typist) Key() error                            { return nil }

func TestUSSDWithAPerson(t *testing.T) {
	for _, row := range []struct {
		types []string
		asks  int
		last  string
		ends  error
	}{
		{[]string{"2", " 1 "}, 3, `{"reply":"1"}`, nil},
		{[]string{"2", ""}, 3, `{"end":true}`, nil},
		{nil, 2, `{"end":true}`, errInterrupted}, // Ctrl-C
	} {
		box := twoModems(t)
		var out strings.Builder
		s := &session{Console: New(Options{API: menuBox{box}}), ctx: t.Context(), out: &out, in: &typist{row.types}, language: Spanish}
		require.ErrorIs(t, s.ussd([]string{"Cita", "*100#"}), row.ends)
		asked := box.wasAsked()
		require.Len(t, asked, row.asks)
		require.Contains(t, asked[len(asked)-1], row.last)
	}
	for _, status := range []string{"terminated", "elsewhere", "unsupported", "timeout"} {
		require.Contains(t, words, "ussd."+status)
	}
}
