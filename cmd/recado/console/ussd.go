package console

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ussdPatience is how long the appliance may take for one answer of the network.
const ussdPatience = 100 * time.Second

// ussdAnswer is what is read of POST /api/v1/sims/{iccid}/ussd.
type ussdAnswer struct {
	Text       string `json:"text"`
	Status     string `json:"status"`
	WantsReply bool   `json:"wants_reply"`
}

// ussd asks the network of a SIM, and answers what it asks back: with the replies
// that stand behind the code, then with what a person types. Nothing typed, or
// nobody there to ask, ends the session.
func (s *session) ussd(args []string) error {
	path, err := s.simPath(args[0])
	if err != nil {
		return err
	}
	var replies []string
	if len(args) > 2 {
		replies = strings.Fields(args[2])
	}
	answer, err := s.askUSSD(path, map[string]any{"code": args[1]})
	for err == nil && answer.WantsReply {
		reply := ""
		switch {
		case len(replies) > 0:
			reply, replies = replies[0], replies[1:]
		case s.in != nil:
			if reply, err = s.in.ReadLine(s.text("ussd.reply")); err != nil {
				break
			}
			reply = strings.TrimSpace(reply)
		}
		if reply == "" {
			if _, ended := s.askUSSD(path, map[string]any{"end": true}); err == nil {
				err = ended
			}
			break
		}
		answer, err = s.askUSSD(path, map[string]any{"reply": reply})
	}
	if idleOut(err) {
		return nil // the menu's own prompt says so next
	}
	return err
}

// askUSSD gives one request to the appliance and shows what the network said.
func (s *session) askUSSD(path string, body map[string]any) (ussdAnswer, error) {
	ctx, cancel := context.WithTimeout(s.ctx, ussdPatience)
	defer cancel()
	var a ussdAnswer
	if err := s.o.API.Do(ctx, http.MethodPost, path+"/ussd", body, &a); err != nil {
		return a, err
	}
	for line := range strings.SplitSeq(a.Text, "\n") {
		if line != "" {
			fmt.Fprintln(s.out, s.shown(line))
		}
	}
	if body["end"] == nil && a.Status != "done" && a.Status != "reply_wanted" {
		fmt.Fprintln(s.out, s.text("ussd."+a.Status))
	}
	return a, nil
}
