package webui

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"recado/modem"
	"recado/pool"
)

// modemPage is what modem.html shows.
type modemPage struct {
	Title string
	Href  string
	Modem modem.Snapshot
	// Why is the modem's own reason in the reader's language, when no finding
	// says it; Raw the same in its own words.
	Why, Raw string
	Findings []findingView
	// WantsPIN and WantsPUK: the SIM asks for it. Last says that the try that is
	// left is not to be used here.
	WantsPIN, WantsPUK, Last bool
	Tries                    int // left for it; -1 unknown
	HasPower                 bool
	// ReportsKnown says that it is set up, so that how reports come is known.
	ReportsKnown bool
	// Fill is how full the memory is, in per cent; -1 unknown.
	Fill           int
	History, Older []happening
	Trace          []traceLine
	Errors         []string
}

// traceLine is one line of the redacted AT dialogue.
type traceLine struct {
	At   string
	Out  bool
	Line string
}

const (
	// traceLines of the dialogue that a page shows: the newest.
	traceLines = 150
	// historyLines of the history that are shown at once; the rest is folded.
	historyLines = 8
)

// modemID is the id in the address.
func modemID(c echo.Context) string {
	id := c.Param("id")
	if plain, err := url.PathUnescape(id); err == nil {
		return plain
	}
	return id
}

func (s *Server) showModem(c echo.Context) error { return s.modemPage(c, http.StatusOK, nil) }

func (s *Server) modemPage(c echo.Context, status int, errs []string) error {
	m, ok := s.pool.Modem(modemID(c))
	if !ok {
		return pool.ErrNoModem
	}
	v := s.view(c, "lines", nil)
	p := modemPage{Title: modemName(m), Href: modemAddress(m.ID), Modem: m, Errors: errs, HasPower: s.pool.HasPower(m.ID),
		WantsPIN: m.SIM.State == "SIM PIN", WantsPUK: m.SIM.State == "SIM PUK", Fill: -1}
	v.Path = p.Href // also when a form that was posted shows it
	p.ReportsKnown = m.State == modem.StateReady || m.State == modem.StateSending || m.State == modem.StateUnknown
	p.Tries = m.SIM.PINTries
	if p.WantsPUK { // the snapshot counts those of the PIN
		p.Tries = -1
		if left := triesLeft.FindStringSubmatch(m.Reason); left != nil {
			p.Tries, _ = strconv.Atoi(left[1])
		}
	}
	p.Last = (p.WantsPIN || p.WantsPUK) && (p.Tries == 0 || p.Tries == 1)
	if m.StorageTotal > 0 {
		p.Fill = min(100, 100*m.StorageUsed/m.StorageTotal)
	}
	p.Findings = s.about(c, slices.DeleteFunc(ofModem(s.findings(c.Request().Context()), m.ID), onBanners))
	for i := range p.Findings { // the form for it is on this very page
		if p.Findings[i].Go == p.Href+"#unlock" {
			p.Findings[i].Label = ""
		}
	}
	if m.Reason != "" && len(p.Findings) == 0 {
		words, _ := v.locale.said(m.Reason)
		p.Why, p.Raw = sentence(words), m.Reason
	}
	entries, err := s.pool.History(m.ID)
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(entries) { // newest first
		p.History = append(p.History, v.happening(e))
	}
	if len(p.History) > historyLines {
		p.History, p.Older = p.History[:historyLines], p.History[historyLines:]
	}
	if v.Person.Admin {
		trace, err := s.pool.Trace(m.ID)
		if err != nil {
			return err
		}
		for _, e := range slices.Backward(trace) { // newest first
			if len(p.Trace) == traceLines {
				break
			}
			p.Trace = append(p.Trace, traceLine{e.At.In(v.zone).Format("15:04:05.000"), e.Out, e.Line})
		}
	}
	v.It = p
	return s.write(c, status, "modem", "", v)
}

// slowPage gives a page for which a modem may have to finish what it does more
// time than others have.
func slowPage(c echo.Context) {
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(modemWrite))
}

func (s *Server) restartPage(c echo.Context) error {
	id := modemID(c)
	if _, ok := s.pool.Modem(id); !ok {
		return pool.ErrNoModem
	}
	slowPage(c)
	if err := s.pool.Restart(c.Request().Context(), id); err != nil {
		s.log.Warn("a modem was not restarted", "modem", id, "err", err)
		return s.modemPage(c, http.StatusConflict, []string{s.words(c).t("modem.not_restarted")})
	}
	s.audit(c, s.person(c), "modem.restart", id, "")
	return s.done(c, modemAddress(id), "restarting", 0)
}

func (s *Server) powerPage(c echo.Context) error {
	id := modemID(c)
	if _, ok := s.pool.Modem(id); !ok {
		return pool.ErrNoModem
	}
	slowPage(c)
	err := s.cutPower(c.Request().Context(), id)
	if p, is := errors.AsType[*Problem](err); is && p.Status == http.StatusConflict {
		return s.modemPage(c, http.StatusConflict, []string{s.words(c).t("modem.not_cut")})
	}
	if err != nil {
		return err
	}
	return s.done(c, modemAddress(id), "power", 0)
}

// foreignPage has the modem delete what other devices have stored in it.
func (s *Server) foreignPage(c echo.Context) error {
	id := modemID(c)
	_, err := s.pool.DeleteForeign(c.Request().Context(), id)
	if errors.Is(err, modem.ErrNotReady) {
		return s.modemPage(c, http.StatusConflict, []string{s.words(c).t("modem.not_ready")})
	}
	if err != nil {
		return err
	}
	s.audit(c, s.person(c), "modem.foreign", id, "")
	return s.done(c, modemAddress(id), "foreign", 0)
}

// triesLeft is how many tries a reason tells of.
var triesLeft = regexp.MustCompile(`\(tries left: (\d+)\)`)

var (
	pinFormat = regexp.MustCompile(`^[0-9]{4,8}$`)
	pukFormat = regexp.MustCompile(`^[0-9]{8}$`)
)

// enterPIN hands a PIN to the SIM. It is not repeated.
func (s *Server) enterPIN(c echo.Context) error {
	id, pin := modemID(c), c.FormValue("pin")
	if _, ok := s.pool.Modem(id); !ok {
		return pool.ErrNoModem
	}
	if !pinFormat.MatchString(pin) {
		return s.modemPage(c, http.StatusUnprocessableEntity, []string{s.words(c).t("modem.pin_format")})
	}
	slowPage(c)
	err := s.unlock(c.Request().Context(), "modem.pin", id, func(ctx context.Context) error { return s.pool.EnterPIN(ctx, id, pin) })
	return s.unlocked(c, id, "pin", err)
}

// enterPUK unblocks the SIM. The codes are not repeated.
func (s *Server) enterPUK(c echo.Context) error {
	id, puk, pin := modemID(c), c.FormValue("puk"), c.FormValue("pin")
	if _, ok := s.pool.Modem(id); !ok {
		return pool.ErrNoModem
	}
	l := s.words(c)
	for _, wrong := range []struct {
		is  bool
		key string
	}{
		{!pukFormat.MatchString(puk), "modem.puk_format"}, {!pinFormat.MatchString(pin), "modem.pin_format"},
		{pin != c.FormValue("again"), "modem.pin_differ"},
	} {
		if wrong.is {
			return s.modemPage(c, http.StatusUnprocessableEntity, []string{l.t(wrong.key)})
		}
	}
	slowPage(c)
	err := s.unlock(c.Request().Context(), "modem.puk", id, func(ctx context.Context) error { return s.pool.EnterPUK(ctx, id, puk, pin) })
	return s.unlocked(c, id, "puk", err)
}

// unlocked says what came of a code.
func (s *Server) unlocked(c echo.Context, id, notice string, err error) error {
	if err == nil {
		return s.done(c, modemAddress(id), notice, 0)
	}
	p, is := errors.AsType[*Problem](err)
	if !is {
		return err
	}
	l := s.words(c)
	words, known := l.said(p.Detail)
	if !known {
		words = l.t("modem.pin_refused")
	}
	return s.modemPage(c, http.StatusUnprocessableEntity, []string{sentence(words)})
}
