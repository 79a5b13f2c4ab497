package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// limitRow is what is read of a SIM's limits; nil is no limit.
type limitRow struct {
	Window         string    `json:"window"`
	MaxSegments    *int      `json:"max_segments"`
	MaxRecipients  *int      `json:"max_recipients"`
	UsedSegments   int       `json:"used_segments"`
	UsedRecipients int       `json:"used_recipients"`
	ResetsAt       time.Time `json:"resets_at"`
}

// simLimits is the part of a SIM that says what it may send.
type simLimits struct {
	Limits   []limitRow `json:"limits"`
	Reserve  int        `json:"reserve_percent"`
	ResetDay int        `json:"reset_day"`
	Warm     int        `json:"warm_limit"` // of segments a day, while it is new
	Paused   bool       `json:"paused"`
}

// pause and resume turn a kill switch: of everything, of a class, or of a SIM.
func (s *session) pause(args []string) error  { return s.turn("pause", args) }
func (s *session) resume(args []string) error { return s.turn("resume", args) }

func (s *session) turn(how string, args []string) error {
	path := "/api/v1/sending/" + how
	if len(args) == 0 {
		return s.tell(http.MethodPost, path, nil)
	}
	if class := strings.ToLower(args[0]); slices.Contains(classes, class) {
		return s.tell(http.MethodPost, path, map[string]any{"class": class})
	}
	at, err := s.simPath(args[0])
	if err != nil {
		return err
	}
	iccid, err := url.PathUnescape(strings.TrimPrefix(at, "/api/v1/sims/"))
	if err != nil {
		return err
	}
	return s.tell(http.MethodPost, path, map[string]any{"sim": iccid})
}

// limits shows what a SIM may send, or changes it: day=500 month=/300 reserve=20
// reset=15, where a limit is segments, or segments/people; 0 is none, and default
// goes back to the usual ones.
func (s *session) limits(args []string) error {
	path, err := s.simPath(args[0])
	if err != nil {
		return err
	}
	now, err := get[simLimits](s, path)
	if err != nil {
		return err
	}
	if len(args) > 1 {
		patch, ok := limitsPatch(now, strings.Fields(args[1]))
		if !ok {
			return &UsageError{s.say("limits.use")}
		}
		return s.tell(http.MethodPatch, path, patch)
	}
	t := table{}
	t.add(s.text("l.window"), s.text("l.segments"), s.text("l.people"), s.text("l.resets"))
	for _, l := range now.Limits {
		t.add(s.code(l.Window), of(l.UsedSegments, l.MaxSegments), of(l.UsedRecipients, l.MaxRecipients), when(l.ResetsAt))
	}
	t.write(s)
	if now.Warm > 0 {
		fmt.Fprintln(s.out, s.say("limits.warm", now.Warm))
	}
	fmt.Fprintln(s.out, s.say("limits.more", now.Reserve, now.ResetDay))
	return nil
}

// of is used/most; most is - without a limit.
func of(used int, most *int) string {
	if most == nil {
		return fmt.Sprintf("%d/-", used)
	}
	return fmt.Sprintf("%d/%d", used, *most)
}

func limitsPatch(now simLimits, changes []string) (map[string]any, bool) {
	patch := map[string]any{}
	limits, touched := slices.Clone(now.Limits), false
	for _, change := range changes {
		name, value, _ := strings.Cut(strings.ToLower(change), "=")
		if name == "default" && value == "" && len(changes) == 1 {
			return map[string]any{"limits": nil}, true
		}
		if field := map[string]string{"reserve": "reserve_percent", "reset": "reset_day"}[name]; field != "" {
			n, err := strconv.Atoi(value)
			if err != nil {
				return nil, false
			}
			patch[field] = n
			continue
		}
		i := slices.IndexFunc(limits, func(l limitRow) bool { return l.Window == name })
		if i < 0 || value == "" {
			return nil, false
		}
		segments, people, both := strings.Cut(value, "/")
		for _, part := range []struct {
			text  string
			given bool
			into  **int
		}{{segments, segments != "", &limits[i].MaxSegments}, {people, both, &limits[i].MaxRecipients}} {
			if !part.given {
				continue
			}
			n, err := strconv.Atoi(cmp.Or(part.text, "0"))
			if err != nil || n < 0 {
				return nil, false
			}
			*part.into = nil
			if n > 0 {
				*part.into = &n
			}
		}
		touched = true
	}
	if touched {
		list := []map[string]any{}
		for _, l := range limits {
			one := map[string]any{"window": l.Window}
			if l.MaxSegments != nil {
				one["max_segments"] = *l.MaxSegments
			}
			if l.MaxRecipients != nil {
				one["max_recipients"] = *l.MaxRecipients
			}
			if len(one) > 1 {
				list = append(list, one)
			}
		}
		patch["limits"] = list
	}
	return patch, len(patch) > 0
}

// balancePatience is how long a network may take with the question and its menu.
const balancePatience = 110 * time.Second

// balance asks the network for a SIM's balance.
func (s *session) balance(args []string) error {
	path, err := s.simPath(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, balancePatience)
	defer cancel()
	var out struct {
		Answer   string `json:"answer"`
		Minor    *int64 `json:"balance_minor"`
		Currency string `json:"currency"`
		Error    string `json:"error"`
	}
	if err := s.o.API.Do(ctx, http.MethodPost, path+"/balance", nil, &out); err != nil {
		return err
	}
	if out.Minor != nil {
		fmt.Fprintf(s.out, "%d.%02d %s\n", *out.Minor/100, max(*out.Minor%100, -(*out.Minor%100)), out.Currency)
	} else {
		fmt.Fprintln(s.out, s.code(out.Error))
	}
	if out.Answer != "" {
		fmt.Fprintln(s.out, s.shown(out.Answer))
	}
	return nil
}

const (
	// testPatience is how long test messages are waited for.
	testPatience = 3 * time.Minute
	testLook     = 2 * time.Second
)

// canaryRow is what is read of a test message.
type canaryRow struct {
	ID    int64     `json:"id"`
	From  string    `json:"from"`
	To    string    `json:"to"`
	Says  string    `json:"says"`
	State string    `json:"state"`
	Ended time.Time `json:"ended_at"`
}

// test has a SIM text another and be answered, and waits for what becomes of it.
func (s *session) test(args []string) error {
	path, err := s.simPath(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, testPatience)
	defer cancel()
	var started list[canaryRow]
	if err := s.o.API.Do(ctx, http.MethodPost, path+"/canary", nil, &started); err != nil {
		return err
	}
	fmt.Fprintln(s.out, s.say("test.waits"))
	for {
		all, err := get[list[canaryRow]](s, "/api/v1/canaries?limit=20")
		if err != nil {
			return err
		}
		open := false
		t := table{}
		t.add(s.text("l.from"), s.text("l.to"), s.text("l.state"), s.text("l.detail"))
		for _, c := range all.Items {
			if !slices.ContainsFunc(started.Items, func(mine canaryRow) bool {
				return mine.ID == c.ID
			}) {
				continue
			}
			open = open || c.Ended.IsZero()
			t.add("…"+tail(c.From, 4), "…"+tail(c.To, 4), s.code(c.State), c.Says)
		}
		if !open || ctx.Err() != nil {
			t.write(s)
			return nil
		}
		select {
		case <-time.After(testLook):
		case <-ctx.Done():
		}
	}
}
