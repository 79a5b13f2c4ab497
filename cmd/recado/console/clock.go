package console

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// clockAnswer is what is read of GET /api/v1/clock, and of the clock in GET /api/v1/status.
type clockAnswer struct {
	Now     time.Time `json:"now"`
	Trusted bool      `json:"trusted"`
	Source  string    `json:"source"`
	Since   time.Time `json:"since"`
	Reason  string    `json:"reason"`
	Offset  float64   `json:"offset_seconds"`
	Rests   time.Time `json:"rests_until"`
	Grace   int       `json:"misfire_grace"`
	Policy  string    `json:"misfire_policy"`
	// Against is what speaks against the time by more than a day.
	Against *struct {
		Time time.Time `json:"time"`
		By   string    `json:"by"`
	} `json:"against"`
}

func (s *session) clock([]string) error {
	c, err := get[clockAnswer](s, "/api/v1/clock")
	if err != nil {
		return err
	}
	s.showClock(c)
	return nil
}

func (s *session) showClock(c clockAnswer) {
	rows := [][2]string{{"now", whole(c.Now)}, {"trusted", s.choose(c.Trusted, "yes", "no")}, {"source", c.Source}, {"since", when(c.Since)},
		{"reason", c.Reason}, {"misfire", fmt.Sprintf("%s, %s", c.Policy, time.Duration(c.Grace)*time.Second)}}
	if c.Offset != 0 {
		rows = append(rows, [2]string{"offset", fmt.Sprintf("%+.1f s", c.Offset)})
	}
	for i := range rows {
		rows[i][0] = s.text("clock." + rows[i][0])
	}
	s.details(rows)
	if !c.Rests.IsZero() {
		fmt.Fprintln(s.out, s.say("clock.rests", whole(c.Rests)))
	}
}

// whole is a time with its year and zone.
func whole(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 -0700") }

// clockLayouts are how a time may be typed; without a zone it is the box's own.
var clockLayouts = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04"}

// sureFlag takes a time that is far from what is known.
const sureFlag = "--sure"

// trustClock vouches for the box's time, or for another that is given. One that is
// more than a day from what is known takes a word, in a script the flag.
func (s *session) trustClock(args []string) error {
	in, path, sure := map[string]any{}, "/api/v1/clock", false
	text := strings.Join(args, " ")
	if rest, is := strings.CutPrefix(text, sureFlag); is {
		text, sure = strings.TrimSpace(rest), true
	}
	var now time.Time
	if text != "" {
		var err error
		if now, err = typedTime(text); err != nil {
			return &UsageError{s.text("bad.time")}
		}
		given := now.UTC().Format(time.RFC3339)
		in["now"] = given
		path += "?" + url.Values{"now": {given}}.Encode()
	}
	if !sure {
		c, err := get[clockAnswer](s, path)
		if err != nil {
			return err
		}
		if text == "" {
			now = c.Now
		}
		if sure, err = s.askTime(now, text != "", c); err != nil {
			return err
		}
	}
	if sure {
		in["sure"] = true
	}
	c, err := post[clockAnswer](s, "/api/v1/clock/trust", in)
	if err != nil {
		return err
	}
	s.showClock(c)
	return nil
}

// askTime asks a person whether it is now, with a word when something speaks
// against it by more than a day; sure: it does.
func (s *session) askTime(now time.Time, typed bool, c clockAnswer) (sure bool, err error) {
	if c.Against == nil {
		if typed || s.in == nil {
			return false, nil
		}
		yes, err := s.sure(s.say("sure.clock", now.Local().Format(time.DateTime)))
		if err != nil || !yes {
			return false, cmp.Or(err, errInterrupted)
		}
		return false, nil
	}
	far := s.say("clock.far", whole(now), s.text("against."+c.Against.By), whole(c.Against.Time))
	if s.in == nil {
		return false, &UsageError{far + " " + s.text("clock.flag")}
	}
	fmt.Fprintln(s.out, far, s.text("clock.look"))
	line, err := s.in.ReadLine(s.text("clock.word"))
	if err != nil {
		return false, err
	}
	if !slices.Contains([]string{"sure", "seguro"}, strings.ToLower(strings.TrimSpace(line))) {
		return false, errInterrupted
	}
	return true, nil
}

func typedTime(text string) (at time.Time, err error) {
	for _, layout := range clockLayouts {
		if at, err = time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return at, err
}
