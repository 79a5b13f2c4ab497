package webui

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"github.com/nyaruka/phonenumbers"
	"github.com/pelletier/go-toml/v2"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

//go:embed locales/*.toml
var localeFiles embed.FS

// languages of the pages, the default first.
var languages = []language.Tag{language.Spanish, language.English}

var languageMatcher = language.NewMatcher(languages)

// locale is one language: its words, dates and numbers.
type locale struct {
	code    string // es, en
	words   *i18n.Localizer
	printer *message.Printer
	months  []string // abbreviated, January first
}

// newLocales reads the embedded word lists.
func newLocales() (map[string]*locale, error) {
	bundle := i18n.NewBundle(languages[0])
	bundle.RegisterUnmarshalFunc("toml", toml.Unmarshal)
	files, err := fs.Glob(localeFiles, "locales/*.toml")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if _, err := bundle.LoadMessageFileFS(localeFiles, f); err != nil {
			return nil, fmt.Errorf("read %s: %w", f, err)
		}
	}
	out := map[string]*locale{}
	for _, tag := range languages {
		l := &locale{code: tag.String(), words: i18n.NewLocalizer(bundle, tag.String()), printer: message.NewPrinter(tag)}
		l.months = strings.Fields(l.t("date.months"))
		if len(l.months) != 12 {
			return nil, fmt.Errorf("locale %s: date.months has %d words, not 12", l.code, len(l.months))
		}
		out[l.code] = l
	}
	return out, nil
}

// t translates a key; args are name, value pairs for its placeholders. A key
// that does not exist comes back in brackets, so that it is seen (a test walks
// all that are used).
func (l *locale) t(key string, args ...any) string {
	if s, ok := l.lookup(key, args); ok {
		return s
	}
	return "[" + key + "]"
}

// tor translates a key that data makes up (an error code, a reason), or gives
// the fallback when nobody has words for it.
func (l *locale) tor(key, fallback string) string {
	if s, ok := l.lookup(key, nil); ok {
		return s
	}
	return fallback
}

// tn translates a key with a count: {{.N}} is the number as the locale writes it.
func (l *locale) tn(key string, n int, args ...any) string {
	data := pairs(args)
	data["N"] = l.num(n)
	s, err := l.words.Localize(&i18n.LocalizeConfig{MessageID: key, PluralCount: n, TemplateData: data})
	if err != nil {
		return "[" + key + "]"
	}
	return s
}

func (l *locale) lookup(key string, args []any) (string, bool) {
	s, err := l.words.Localize(&i18n.LocalizeConfig{MessageID: key, TemplateData: pairs(args)})
	return s, err == nil
}

func pairs(args []any) map[string]any {
	data := make(map[string]any, len(args)/2+1)
	for i := 0; i+1 < len(args); i += 2 {
		data[fmt.Sprint(args[i])] = args[i+1]
	}
	return data
}

// num writes a whole number as the language groups it.
func (l *locale) num(n int) string { return l.printer.Sprint(number.Decimal(n)) }

// dayOf is a day and a time, without the year.
func (l *locale) dayOf(at time.Time) string {
	return fmt.Sprintf("%d %s, %s", at.Day(), l.months[at.Month()-1], at.Format("15:04"))
}

// date is a day and a time, the year only when it is not this one; "" for zero.
func (l *locale) date(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	clock := at.Format("15:04")
	if at.Year() == now.Year() && at.YearDay() == now.YearDay() {
		return clock
	}
	day := fmt.Sprintf("%d %s", at.Day(), l.months[at.Month()-1])
	if at.Year() != now.Year() {
		day += fmt.Sprintf(" %d", at.Year())
	}
	return day + ", " + clock
}

// dateFull is a day with its year and a time with seconds; "" for zero.
func (l *locale) dateFull(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d %s %d, %s", at.Day(), l.months[at.Month()-1], at.Year(), at.Format("15:04:05"))
}

// soon is what needs no figure.
const soon = 5 * time.Second

// span is a length of time in one or two words, rounded as people say it.
func (l *locale) span(d time.Duration) string {
	switch {
	case d < soon:
		return l.t("span.moment")
	case d < 90*time.Second:
		return l.tn("span.seconds", int(d.Round(time.Second).Seconds()))
	case d < 90*time.Minute:
		return l.tn("span.minutes", int(d.Round(time.Minute).Minutes()))
	case d < 48*time.Hour:
		return l.tn("span.hours", int(d.Round(time.Hour).Hours()))
	default:
		return l.tn("span.days", int((d+12*time.Hour).Hours()/24))
	}
}

// phone writes an E.164 number in groups; anything else (short codes, names)
// as it is.
func phone(raw string) string {
	if !strings.HasPrefix(raw, "+") {
		return raw
	}
	n, err := phonenumbers.Parse(raw, "")
	if err != nil {
		return raw
	}
	return phonenumbers.Format(n, phonenumbers.INTERNATIONAL)
}

// Cookies of taste. They hold no secret and are read on every page.
const (
	cookieLang  = "recado_lang"
	cookieTheme = "recado_theme"
	cookieZone  = "recado_tz" // IANA name, set by the browser's script
)

// languageOf is the page's language: the visitor's choice, else the person's,
// else the browser's, else Spanish.
func languageOf(r *http.Request, person string) string {
	if c, err := r.Cookie(cookieLang); err == nil && isLanguage(c.Value) {
		return c.Value
	}
	if isLanguage(person) {
		return person
	}
	wanted, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil || len(wanted) == 0 {
		return languages[0].String()
	}
	_, i, _ := languageMatcher.Match(wanted...)
	return languages[i].String()
}

func isLanguage(code string) bool {
	for _, tag := range languages {
		if tag.String() == code {
			return true
		}
	}
	return false
}

// zoneOf is the time zone the visitor reads clocks in: the browser's, else the
// box's.
func zoneOf(r *http.Request) *time.Location {
	c, err := r.Cookie(cookieZone)
	if err != nil || c.Value == "" || len(c.Value) > 64 {
		return time.Local
	}
	loc, err := time.LoadLocation(c.Value)
	if err != nil {
		return time.Local
	}
	return loc
}

// themeOf is auto, light or dark.
func themeOf(r *http.Request) string {
	if c, err := r.Cookie(cookieTheme); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return "auto"
}
