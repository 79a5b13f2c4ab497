package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// sendCmd is `recado send`.
type sendCmd struct {
	configFlag
	dataFlag
	phoneFlag
	To      string        `arg:"" help:"The recipient's number."`
	Text    string        `arg:"" help:"The text."`
	Class   string        `default:"normal" enum:"otp,alert,normal,bulk" help:"otp, alert, normal or bulk."`
	Wait    bool          `help:"Wait until its fate is known."`
	Timeout time.Duration `default:"5m" placeholder:"D" help:"How long to wait at most (${default})."`
}

// sentMessage is what is read of the API's Message.
type sentMessage struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Reason string `json:"reason"`
	Error  *struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	} `json:"error"`
}

// Run prints the message's id and state.
func (c *sendCmd) Run(ctx context.Context, t terminal) (err error) {
	ask, closer, err := attach(ctx, dataDir(c.Data), c.phoneFlag, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	if c.Wait && ask.Alone() {
		return fmt.Errorf("wait for the message: %w, or leave --wait out to queue the message until then", errNoDaemon)
	}
	in := map[string]any{"to": c.To, "text": c.Text, "class": c.Class}
	var out struct {
		Messages []sentMessage `json:"messages"`
	}
	if err := ask.Do(ctx, http.MethodPost, "/api/v1/messages", in, &out); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if len(out.Messages) != 1 {
		return errors.New("send: the appliance did not say which message it made")
	}
	m := out.Messages[0]
	if c.Wait {
		if m, err = c.follow(ctx, ask, m); err != nil {
			fmt.Fprintln(t.Out, m.ID, m.State)
			return err
		}
	}
	fmt.Fprintln(t.Out, m.ID, m.State)
	if ask.Alone() {
		fmt.Fprintln(t.Err, "recado: no daemon is running on this data: the message leaves when recado serve runs")
	}
	if c.Wait {
		return m.failure()
	}
	return nil
}

// follow asks until the message has come to rest or the time is over. A message that the
// network took, but whose report does not come in time, has not failed.
func (c *sendCmd) follow(ctx context.Context, ask *client, m sentMessage) (sentMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !m.final() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			if m.State == "sent" {
				return m, nil
			}
			return m, fmt.Errorf("wait for the message: it is still %s", m.State)
		}
		now := sentMessage{}
		err := ask.Do(ctx, http.MethodGet, "/api/v1/messages/"+m.ID, nil, &now)
		if err != nil && ctx.Err() == nil {
			return m, fmt.Errorf("wait for the message: %w", err)
		}
		if err == nil {
			m = now
		}
	}
	return m, nil
}

// final: nothing more happens without somebody deciding or time passing by hours.
func (m sentMessage) final() bool {
	switch m.State {
	case "delivered", "undelivered", "uncertain", "failed", "expired", "cancelled", "held":
		return true
	}
	return false
}

// failure is the error that a message which did not arrive ends the command with.
func (m sentMessage) failure() error {
	if m.State == "sent" || m.State == "delivered" {
		return nil
	}
	text := "the message is " + m.State
	if m.Reason != "" {
		text += " (" + m.Reason + ")"
	}
	if m.Error != nil && m.Error.Detail != "" {
		text += ": " + m.Error.Detail
	}
	return errors.New(text)
}
