package webui

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"recado/queue"
	"recado/queue/backup"
)

// carePage is the part of the settings that looks after the data.
type carePage struct {
	Clock    Clock
	By       string // who vouches for it; "" nobody
	Takes    bool   // an operator's word for the time
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
	Body, Metadata int
	Minutes        bool
}

const (
	minute = int64(60)
	day24h = 24 * 60 * minute
)

// fillCare reads what the person may see; what p has already is what was entered.
func (s *Server) fillCare(c echo.Context, p *carePage, admin bool) error {
	ctx := c.Request().Context()
	var err error
	if p.Clock, err = s.clockNow(ctx); err != nil {
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
		row := keepRow{Name: k.name, Body: int(k.keep.Body / day24h), Metadata: int(k.keep.Metadata / day24h)}
		if k.name == string(queue.OTP) {
			row.Body, row.Minutes = int(k.keep.Body/minute), true
		}
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
	err := s.vouch(c.Request().Context(), s.person(c).String(), now)
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

// setRetention reads days, and minutes for codes.
func (s *Server) setRetention(c echo.Context) error {
	rows := []keepRow{{Name: "otp", Minutes: true}, {Name: "alert"}, {Name: "normal"}, {Name: "bulk"}, {Name: "inbound"}}
	var r queue.Retention
	keeps := []*queue.Keep{&r.OTP, &r.Alert, &r.Normal, &r.Bulk, &r.Inbound}
	for i := range rows {
		k := &rows[i]
		var bad error
		number := func(field string) int {
			n, err := strconv.Atoi(strings.TrimSpace(c.FormValue(k.Name + "_" + field)))
			if err != nil || n < 0 || n > 4000 {
				bad = errors.New(field)
			}
			return n
		}
		k.Body, k.Metadata = number("body"), number("metadata")
		if bad != nil {
			return s.careAgain(c, "retention", carePage{Keeps: rows}, s.words(c).t("retention.number"))
		}
		unit := 24 * time.Hour
		if k.Minutes {
			unit = time.Minute
		}
		*keeps[i] = queue.Keep{Body: time.Duration(k.Body) * unit, Metadata: time.Duration(k.Metadata) * 24 * time.Hour}
	}
	err := s.store.SetRetention(c.Request().Context(), r, s.person(c).String())
	if _, bad := errors.AsType[*queue.Invalid](err); bad {
		return s.careAgain(c, "retention", carePage{Keeps: rows}, s.words(c).t("retention.limits"))
	}
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
