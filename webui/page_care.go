package webui

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"recado/queue"
	"recado/queue/backup"
	"recado/queue/clock"
)

// carePage is the part of the settings that looks after the data.
type carePage struct {
	Clock    Clock
	By       string          // who vouches for it; "" nobody
	Takes    bool            // an operator's word for the time
	Unlikely *clock.Unlikely // to be confirmed, with …
	Typed    string          // … what was entered
	Policies []string
	Grace    int // minutes
	Backups  *Backups
	Archive  bool
	MinPass  int
	Keeps    []keepRow
	Erase    bool
	Number   string // entered
	Erased   *Erased
	Erasing  bool // to be confirmed
}

// keepRow is how long one class is kept: the text in minutes (otp) or days.
type keepRow struct {
	Name           string
	Body, Metadata kept
	Minutes        bool
}

// kept is one period as it is shown; what is no whole number of days is in hours.
type kept struct {
	Field      string
	Value, Was string // entered, and as it was before
	Hours      bool
}

const (
	minute = int64(60)
	hour60 = 60 * minute
	day24h = 24 * hour60
)

func keptAs(field string, seconds int64, minutes bool) kept {
	k := kept{Field: field, Hours: !minutes && seconds%day24h != 0}
	k.Value = strconv.FormatFloat(float64(seconds)/float64(k.unit(minutes)), 'f', -1, 64)
	k.Was = k.Value
	return k
}

// unit in seconds.
func (k kept) unit(minutes bool) int64 {
	switch {
	case minutes:
		return minute
	case k.Hours:
		return hour60
	}
	return day24h
}

// entered reads a period; was when nobody has touched it.
func (k *kept) entered(c echo.Context, field string, minutes bool, was time.Duration) (time.Duration, error) {
	*k = kept{Field: field, Value: strings.TrimSpace(c.FormValue(field)), Was: c.FormValue(field + "_was"), Hours: c.FormValue(field+"_unit") == "hours"}
	if k.Was != "" && k.Value == k.Was {
		return was, nil
	}
	n, err := strconv.ParseFloat(strings.Replace(k.Value, ",", ".", 1), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(n) {
		return 0, errors.New(field)
	}
	// What is out of all bounds stays out of them.
	seconds := min(max(n*float64(k.unit(minutes)), -1), float64(5000*day24h))
	return time.Duration(math.Round(seconds)) * time.Second, nil
}

// wrong says what is wrong with a row: which class, which of the two, and what may be
// entered. no and neither say that one could not be read as a number.
func (k keepRow) wrong(l *locale, keep queue.Keep, no, neither error) (lines []string) {
	class := l.t("class." + k.Name)
	if k.Name == "inbound" {
		class = l.t("nav.inbox")
	}
	refused := func(keep queue.Keep) bool {
		r := queue.DefaultRetention()
		if k.Minutes {
			r.OTP = keep
		} else {
			r.Normal = keep
		}
		return r.Check() != nil
	}
	say := func(key string) { lines = append(lines, l.t(key, "Class", class)) }
	usual := queue.DefaultRetention().Normal
	if no != nil || refused(queue.Keep{Body: keep.Body, Metadata: max(keep.Body, usual.Metadata)}) {
		switch {
		case k.Minutes:
			say("retention.range_minutes")
		case k.Body.Hours:
			say("retention.range_body_hours")
		default:
			say("retention.range_body")
		}
	}
	if neither != nil || refused(queue.Keep{Metadata: keep.Metadata}) {
		if k.Metadata.Hours {
			say("retention.range_metadata_hours")
		} else {
			say("retention.range_metadata")
		}
	}
	if lines == nil && refused(keep) {
		say("retention.order")
	}
	return lines
}

// fillCare reads what the person may see; what p has already is what was entered.
func (s *Server) fillCare(c echo.Context, p *carePage, admin bool) error {
	ctx := c.Request().Context()
	var err error
	if p.Clock, err = s.clockNow(ctx, time.Time{}); err != nil {
		return err
	}
	if p.Clock.Source != nil {
		p.By = *p.Clock.Source
	}
	p.Takes, p.Policies, p.Grace, p.MinPass = s.care.Time != nil, misfirePolicies, p.Clock.MisfireGrace/60, backup.MinPassphrase
	if !admin {
		return nil
	}
	p.Archive, p.Erase = s.care.Archive != nil, s.care.Erase != nil
	if s.care.Backups != nil {
		b, err := s.backups()
		if err != nil {
			return err
		}
		p.Backups = &b
	}
	if p.Keeps != nil {
		return nil
	}
	r, err := s.store.Retention(ctx)
	if err != nil {
		return err
	}
	kept := retentionOf(r)
	for _, k := range []struct {
		name string
		keep Keep
	}{{"otp", kept.OTP}, {"alert", kept.Alert}, {"normal", kept.Normal}, {"bulk", kept.Bulk}, {"inbound", kept.Inbound}} {
		row := keepRow{Name: k.name, Minutes: k.name == string(queue.OTP)}
		row.Body, row.Metadata = keptAs(k.name+"_body", k.keep.Body, row.Minutes), keptAs(k.name+"_metadata", k.keep.Metadata, false)
		p.Keeps = append(p.Keeps, row)
	}
	return nil
}

// careAgain shows the settings with what is wrong in one part.
func (s *Server) careAgain(c echo.Context, part string, care carePage, lines ...string) error {
	return s.settings(c, http.StatusUnprocessableEntity, settingsPage{Open: part, Errors: lines, Care: care})
}

// timeLayout is what <input type="datetime-local"> sends.
const timeLayout = "2006-01-02T15:04"

// setClock takes a person's word for the time: the box's own, or another.
func (s *Server) setClock(c echo.Context) error {
	var now time.Time
	if typed := c.FormValue("now"); typed != "" {
		var err error
		if now, err = time.ParseInLocation(timeLayout, typed, zoneOf(c.Request())); err != nil {
			return s.careAgain(c, "clock", carePage{}, s.words(c).t("clock.unreadable"))
		}
	}
	err := s.vouch(c.Request().Context(), s.person(c).String(), now, c.FormValue("sure") == "yes")
	if far, is := errors.AsType[*clock.Unlikely](err); is {
		return s.settings(c, http.StatusOK, settingsPage{Open: "clock", Care: carePage{Unlikely: far, Typed: c.FormValue("now")}})
	}
	if p, is := errors.AsType[*Problem](err); is {
		return s.careAgain(c, "clock", carePage{}, s.words(c).tor("invalid.now", p.Detail))
	}
	if err != nil {
		return err
	}
	return s.done(c, "/settings#clock", "clock", 0)
}

func (s *Server) setMisfire(c echo.Context) error {
	minutes, err := strconv.Atoi(strings.TrimSpace(c.FormValue("grace")))
	if err != nil {
		minutes = -1
	}
	m := queue.Misfire{Grace: time.Duration(minutes) * time.Minute, Policy: c.FormValue("policy")}
	err = s.store.SetMisfire(c.Request().Context(), m, s.person(c).String())
	if lines, ok := s.explain(c, err); ok {
		return s.careAgain(c, "clock", carePage{}, lines...)
	}
	if err != nil {
		return err
	}
	return s.done(c, "/settings#clock", "saved", 0)
}

func (s *Server) makeBackupPage(c echo.Context) error {
	err := s.backupNow(c.Request().Context())
	if p, is := errors.AsType[*Problem](err); is && p.Status == http.StatusInsufficientStorage {
		return s.careAgain(c, "backups", carePage{}, s.words(c).t("backups.paused"))
	}
	if err != nil {
		return err
	}
	return s.done(c, "/settings#backups", "backup", 0)
}

// archiveWithin is how long a backup may take to be made and to be fetched.
const archiveWithin = 15 * time.Minute

// sendBackup makes a backup under a passphrase, reads it back, and only then
// gives it away: what arrives whole is one that can be restored.
func (s *Server) sendBackup(c echo.Context) error {
	if s.care.Archive == nil {
		return newProblem(http.StatusNotFound, "")
	}
	l := s.words(c)
	if c.FormValue("passphrase") != c.FormValue("again") {
		return s.careAgain(c, "archive", carePage{}, l.t("backups.differ"))
	}
	secret, err := backup.Passphrase(c.FormValue("passphrase"))
	if errors.Is(err, backup.ErrShort) {
		return s.careAgain(c, "archive", carePage{}, l.t("backups.short", "N", backup.MinPassphrase))
	}
	if err != nil {
		return err
	}
	// The usual half minute is for pages.
	if err := http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(archiveWithin)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), archiveWithin)
	defer cancel()
	file, err := s.care.Archive(ctx, secret)
	if err != nil {
		return err
	}
	defer file.Close()
	s.audit(c, s.person(c), "backup.download", "", "")
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "application/octet-stream")
	h.Set(echo.HeaderContentDisposition, `attachment; filename="recado-`+s.clock.Now().UTC().Format("20060102-150405")+`.backup"`)
	h.Set(echo.HeaderContentLength, strconv.FormatInt(file.Size, 10)) // a browser notices one that broke off
	h.Set("Cache-Control", "no-store")
	c.Response().WriteHeader(http.StatusOK)
	_, err = io.Copy(c.Response(), file)
	return err
}

func (s *Server) noteRescue(c echo.Context) error {
	if s.care.Rescue == nil {
		return newProblem(http.StatusNotFound, "")
	}
	if err := s.care.Rescue.Acknowledge(); err != nil {
		return err
	}
	s.audit(c, s.person(c), "data.acknowledge", "", "")
	return s.done(c, "/", "saved", 0)
}

// setRetention reads days, and minutes for codes; what nobody has edited stays.
func (s *Server) setRetention(c echo.Context) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	rows := []keepRow{{Name: "otp", Minutes: true}, {Name: "alert"}, {Name: "normal"}, {Name: "bulk"}, {Name: "inbound"}}
	r, err := s.store.Retention(c.Request().Context())
	if err != nil {
		return err
	}
	keeps := []*queue.Keep{&r.OTP, &r.Alert, &r.Normal, &r.Bulk, &r.Inbound}
	var wrong []string
	for i := range rows {
		k := &rows[i]
		body, no := k.Body.entered(c, k.Name+"_body", k.Minutes, keeps[i].Body)
		metadata, neither := k.Metadata.entered(c, k.Name+"_metadata", false, keeps[i].Metadata)
		*keeps[i] = queue.Keep{Body: body, Metadata: metadata}
		wrong = append(wrong, k.wrong(s.words(c), *keeps[i], no, neither)...)
	}
	if wrong != nil {
		return s.careAgain(c, "retention", carePage{Keeps: rows}, wrong...)
	}
	err = s.store.SetRetention(c.Request().Context(), r, s.person(c).String())
	if err != nil {
		return err
	}
	return s.done(c, "/settings#retention", "saved", 0)
}

// erasePage deletes a number that was typed twice, and says how much that was.
func (s *Server) erasePage(c echo.Context) error {
	number := strings.TrimSpace(c.FormValue("number"))
	p := carePage{Number: number, Erasing: true}
	if number == "" || len(number) > 40 {
		return s.careAgain(c, "erase", carePage{}, s.words(c).t("invalid.number"))
	}
	if again := strings.TrimSpace(c.FormValue("again")); again != number {
		if again != "" {
			return s.careAgain(c, "erase", p, s.words(c).t("erase.differ"))
		}
		return s.settings(c, http.StatusOK, settingsPage{Open: "erase", Care: p})
	}
	e, err := s.erase(c.Request().Context(), number)
	if _, is := errors.AsType[*Problem](err); is {
		return s.careAgain(c, "erase", carePage{}, s.words(c).t("invalid.number"))
	}
	if err != nil {
		return err
	}
	return s.settings(c, http.StatusOK, settingsPage{Open: "erase", Care: carePage{Number: number, Erased: &e}})
}
