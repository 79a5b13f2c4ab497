package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// heldAnswer is what is read of GET /api/v1/held.
type heldAnswer struct {
	Total int `json:"total"`
	Items []struct {
		Reason string    `json:"reason"`
		Class  string    `json:"class"`
		Count  int       `json:"count"`
		Oldest time.Time `json:"oldest"`
	} `json:"items"`
}

// everything is the reason that stands for all of them.
const everything = "all"

func (s *session) heldList([]string) error {
	held, err := get[heldAnswer](s, "/api/v1/held")
	if err != nil {
		return err
	}
	t := table{}
	t.add(s.text("l.reason"), s.text("l.class"), s.text("l.messages"), s.text("l.oldest"))
	for _, g := range held.Items {
		t.add(s.typed(g.Reason), g.Class, fmt.Sprint(g.Count), when(g.Oldest))
	}
	t.write(s)
	return nil
}

// onlyReason proposes the reason when there is just one.
func (s *session) onlyReason() string {
	held, err := get[heldAnswer](s, "/api/v1/held")
	if err != nil || len(held.Items) == 0 {
		return ""
	}
	for _, g := range held.Items {
		if g.Reason != held.Items[0].Reason {
			return ""
		}
	}
	return held.Items[0].Reason
}

func (s *session) release(args []string) error { return s.decideHeld("release", "sure.release", args) }
func (s *session) discard(args []string) error { return s.decideHeld("discard", "sure.discard", args) }

// classes of messages, as commands take them.
var classes = []string{"otp", "alert", "normal", "bulk"}

// decideHeld releases or discards what a reason holds, of one class or of all. The reason
// and the class may come in any order. A person at the menu is asked once more, with how
// many there are.
func (s *session) decideHeld(action, question string, args []string) error {
	var reason, class string
	for _, word := range args {
		into := &reason
		if word = strings.ToLower(word); slices.Contains(classes, word) {
			into = &class
		}
		if *into != "" {
			return s.useOf("held " + action)
		}
		*into = word
	}
	held, err := get[heldAnswer](s, "/api/v1/held")
	if err != nil {
		return err
	}
	if reason == "" { // a class alone is not enough said: it takes a word for what holds it
		return &UsageError{s.say("which.held", s.useOf("held "+action), s.heldNow(held))}
	}
	choice := map[string]any{}
	if reason == everything {
		choice["all"] = true
	} else {
		choice["reason"] = reason
	}
	if class != "" {
		choice["class"] = class
	}
	n := 0
	for _, g := range held.Items {
		if (reason == everything || g.Reason == reason) && (class == "" || g.Class == class) {
			n += g.Count
		}
	}
	if n == 0 {
		return errors.New(s.say("no.held", s.heldNow(held)))
	}
	if s.in != nil {
		if yes, err := s.sure(s.say(question, n)); err != nil || !yes {
			return cmp.Or(err, errInterrupted)
		}
	}
	// The appliance works a large number off in parts.
	for total := 0; ; {
		done, err := post[struct{ Done, Left int }](s, "/api/v1/held/"+action, choice)
		if err != nil {
			return err
		}
		if total += done.Done; done.Done == 0 || total >= n {
			fmt.Fprintln(s.out, s.say("held.done", total, done.Left))
			return nil
		}
	}
}

// heldNow names the reasons and classes of what is held.
func (s *session) heldNow(held heldAnswer) string {
	var list []string
	for _, g := range held.Items {
		list = append(list, g.Reason+" "+g.Class)
	}
	if list == nil {
		return s.text("none")
	}
	return strings.Join(list, ", ")
}

// sure asks for a yes.
func (s *session) sure(question string) (bool, error) {
	line, err := s.in.ReadLine(s.say("sure", question))
	answer := strings.ToLower(strings.TrimSpace(line))
	return slices.Contains([]string{"y", "yes", "s", "si", "sí"}, answer), err
}

// post asks the appliance to do something, and reads what it answers. It may take its time.
func post[T any](s *session, path string, in any) (T, error) {
	var out T
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	err := s.o.API.Do(ctx, http.MethodPost, path, in, &out)
	return out, err
}

// uncertainMost is how many uncertain messages are listed.
const uncertainMost = 50

func (s *session) uncertain([]string) error {
	all, err := get[list[messageRow]](s, fmt.Sprintf("/api/v1/messages?state=uncertain&limit=%d", uncertainMost))
	if err != nil {
		return err
	}
	t := table{}
	t.add(s.text("l.id"), s.text("l.time"), s.text("l.to"), s.text("l.class"), s.text("l.reason"))
	for _, m := range all.Items {
		t.add(m.ID, when(m.CreatedAt), mask(m.To), m.Class, s.code(m.Reason))
	}
	t.write(s)
	if all.Next != nil {
		fmt.Fprintln(s.out, s.say("more"))
	}
	return nil
}

// resolve says what became of a message whose answer was lost.
func (s *session) resolve(args []string) error {
	switch args[1] {
	case "resend", "mark_sent", "mark_failed":
	default:
		return s.useOf("uncertain resolve")
	}
	m, err := post[messageRow](s, "/api/v1/messages/"+url.PathEscape(args[0])+"/resolve", map[string]any{"action": args[1]})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s %s\n", s.say("done"), s.code(m.State))
	return nil
}

// backupsAnswer is what is read of GET /api/v1/backups.
type backupsAnswer struct {
	LastAt time.Time `json:"last_at"`
	NextAt time.Time `json:"next_at"`
	Paused bool      `json:"paused"`
	Error  string    `json:"error"`
	Folder string    `json:"folder"`
	Items  []struct {
		Name string    `json:"name"`
		At   time.Time `json:"at"`
		Size int64     `json:"size_bytes"`
	} `json:"items"`
}

func (s *session) backups([]string) error {
	b, err := get[backupsAnswer](s, "/api/v1/backups")
	if err != nil {
		return err
	}
	rows := [][2]string{{"last_at", when(b.LastAt)}, {"next_at", when(b.NextAt)}, {"folder", b.Folder}, {"error", b.Error}}
	if b.Paused {
		rows = append(rows, [2]string{"paused", s.text("yes")})
	}
	s.details(rows)
	t := table{}
	t.add(s.text("l.time"), "KB", s.text("l.file"))
	for _, c := range b.Items {
		t.add(when(c.At), fmt.Sprint((c.Size+1023)/1024), c.Name)
	}
	t.write(s)
	return nil
}

func (s *session) backupNow([]string) error { return s.tell(http.MethodPost, "/api/v1/backups", nil) }
