package webui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"recado/modem"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// views are the pages' templates in each language.
type views struct {
	locales map[string]*locale
	pages   *pageTemplates
	assets  map[string]string // file under static/ → its versioned address
}

// view is what every page knows beside its own data. Templates see it as $.
type view struct {
	Lang, Theme string
	Title       string // a key under "title."
	Nav         string // the navigation entry that is current
	Path        string // this page with its query: where preferences return to
	Notice      string // a key under "notice.": what was just done
	NoticeN     int
	Person      *viewer // nil when nobody is signed in
	Unread      int
	Paused      bool // everything is
	Pauses      []pauseView
	Emulated    bool
	Alarms      []alarm
	Insecure    bool // plain HTTP from another machine
	Version     string
	It          any // the page's own data

	locale *locale
	zone   *time.Location
	now    time.Time
}

// viewer is who looks at the page.
type viewer struct {
	ID, Name, Role string
	CanSend        bool // operator or admin
	Admin          bool
}

// Sub is the same view over a part of the data, for a partial template.
func (v view) Sub(it any) view { v.It = it; return v }

// Date is a short local time; Full has the year and the seconds.
func (v view) Date(t time.Time) string { return v.locale.date(v.in(t), v.now.In(v.zone)) }

// Full is a local time with year and seconds.
func (v view) Full(t time.Time) string { return v.locale.dateFull(v.in(t)) }

// Clock is the local time of the page, to the second.
func (v view) Clock() string { return v.now.In(v.zone).Format("15:04:05") }

// Zone is the name of the zone the page's clocks are in.
func (v view) Zone() string {
	name, _ := v.now.In(v.zone).Zone()
	if v.zone == time.Local {
		return name
	}
	return strings.ReplaceAll(v.zone.String(), "_", " ") + " (" + name + ")"
}

func (v view) in(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.In(v.zone)
}

// newViews prepares every page in every language.
func newViews() (*views, error) {
	locales, err := newLocales()
	if err != nil {
		return nil, err
	}
	v := &views{locales: locales, assets: map[string]string{}}
	if err := v.hashAssets(); err != nil {
		return nil, err
	}
	funcs := make(map[string]template.FuncMap)
	for code, l := range locales {
		funcs[code] = v.funcs(l)
	}
	v.pages, err = newPageTemplates(funcs)
	return v, err
}

// execute writes one page, or one block of it when block is not "".
func (v *views) execute(w io.Writer, page, block string, data view) error {
	t, err := v.pages.page(data.Lang, page)
	if err != nil {
		return err
	}
	if block == "" {
		block = "layout"
	}
	return t.ExecuteTemplate(w, block, data)
}

// hashAssets gives each static file an address that changes with its content,
// so that browsers may keep it for ever.
func (v *views) hashAssets() error {
	return fs.WalkDir(staticFiles, "static", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := staticFiles.ReadFile(p)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		name := strings.TrimPrefix(p, "static/")
		v.assets[name] = "/static/" + name + "?v=" + hex.EncodeToString(sum[:6])
		return nil
	})
}

func (v *views) funcs(l *locale) template.FuncMap {
	return template.FuncMap{
		"t": func(key string, args ...any) string {
			if len(args) == 1 { // a list made in Go
				if list, ok := args[0].([]any); ok {
					args = list
				}
			}
			return l.t(key, args...)
		},
		"tn":    l.tn,
		"tor":   l.tor,
		"num":   l.num,
		"span":  l.span,
		"phone": phone,
		"bars":  signalBars,
		"tone":  tone,
		"dbm":   func(n int) string { return strings.Replace(strconv.Itoa(n), "-", "−", 1) + " dBm" },
		"asset": func(name string) (string, error) {
			if a, ok := v.assets[name]; ok {
				return a, nil
			}
			return "", fmt.Errorf("no static file %q", name)
		},
		"icon": func(name string) template.HTML {
			// The name is the template's own, never data from outside.
			return template.HTML(`<svg class="icon" aria-hidden="true" focusable="false"><use href="` +
				template.HTMLEscapeString(v.assets["icons.svg"]+"#"+name) + `"></use></svg>`)
		},
		"stateIcon": stateIcon,
		"simhref":   simAddress,
		"add":       func(a, b int) int { return a + b },
		"kb":        func(n int64) string { return l.num(int((n + 1023) >> 10)) },
	}
}

// signalBars is how many of four bars a signal fills; -1 when it is unknown.
// −113 dBm is the weakest that AT+CSQ can say, −51 the strongest.
func signalBars(s modem.Signal) int {
	switch {
	case !s.Known:
		return -1
	case s.RSSI >= -75:
		return 4
	case s.RSSI >= -85:
		return 3
	case s.RSSI >= -95:
		return 2
	case s.RSSI >= -107:
		return 1
	default:
		return 0
	}
}

// tone is the colour family of a state, of messages, SIMs and modems alike.
// Colour only repeats what the word and the icon say.
func tone(state any) string {
	switch fmt.Sprint(state) {
	case "delivered", "ready", "read":
		return "ok"
	case "sent", "sending", "busy":
		return "info"
	case "uncertain", "held", "limit_reached", "no_credit", "quarantined", "recovering", "sending_unknown", "partial", "locked", "no_sim":
		return "warn"
	case "failed", "undelivered", "expired", "blocked", "sim_blocked", "sim_denied", "fault":
		return "bad"
	default:
		return "idle"
	}
}

// stateIcon is the icon beside a state.
func stateIcon(state any) string {
	switch fmt.Sprint(state) {
	case "scheduled":
		return "calendar-clock"
	case "held":
		return "pause"
	case "queued":
		return "clock"
	case "sending", "busy":
		return "send"
	case "sent":
		return "check"
	case "delivered":
		return "check-check"
	case "ready":
		return "circle-check"
	case "uncertain", "sending_unknown":
		return "circle-question-mark"
	case "failed", "undelivered", "fault":
		return "circle-x"
	case "expired":
		return "hourglass"
	case "cancelled", "disabled":
		return "ban"
	case "locked", "sim_blocked", "blocked":
		return "lock"
	case "no_credit", "limit_reached", "quarantined", "recovering", "sim_denied", "no_sim", "partial":
		return "triangle-alert"
	default:
		return "loader"
	}
}
