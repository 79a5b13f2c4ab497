package webui

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/pool"
	"recado/queue"
	"recado/queue/clock"
	"recado/queue/webhook"
	"recado/webui/auth"
)

// words reads a word list flat: key → text, plural forms joined.
func words(t *testing.T, lang string) map[string]string {
	t.Helper()
	flat := map[string]string{}
	var walk func(prefix string, node map[string]any)
	walk = func(prefix string, node map[string]any) {
		for k, v := range node {
			switch v := v.(type) {
			case string:
				flat[prefix+k] = v
			case map[string]any:
				if one, ok := v["one"].(string); ok {
					other, ok := v["other"].(string)
					require.True(t, ok, "%s: %s%s has no plural", lang, prefix, k)
					flat[prefix+k] = one + " " + other
					continue
				}
				walk(prefix+k+".", v)
			}
		}
	}
	for _, file := range []string{lang + ".toml", "network." + lang + ".toml", "modems." + lang + ".toml", "care." + lang + ".toml", "pool." + lang + ".toml", "webhooks." + lang + ".toml"} {
		b, err := localeFiles.ReadFile("locales/" + file)
		require.NoError(t, err)
		var tree map[string]any
		require.NoError(t, toml.Unmarshal(b, &tree))
		walk("", tree)
	}
	return flat
}

var placeholder = regexp.MustCompile(`\{\{\.\w+\}\}`)

func TestBothLanguagesHaveTheSameWords(t *testing.T) {
	es, en := words(t, "es"), words(t, "en")
	for key, text := range es {
		require.Contains(t, en, key, "en.toml")
		require.NotEmpty(t, strings.TrimSpace(text), key)
		marks := func(s string) []string {
			m := placeholder.FindAllString(s, -1)
			slices.Sort(m)
			return slices.Compact(m)
		}
		require.Equal(t, marks(text), marks(en[key]), "placeholders of %s", key)
	}
	for key := range en {
		require.Contains(t, es, key, "es.toml")
	}
}

// made are the keys that data completes: the prefix, and what may come after it.
func made() map[string][]string {
	many := map[string][]string{
		"signal.q": {"0", "1", "2", "3", "4"}, "validity.h": {"", "1", "6", "24", "72"}, "encoding.": {"gsm7", "ucs2"},
		"delivery.": {string(queue.AtMostOnce), string(queue.AtLeastOnce), string(queue.Bounded)},
		"reject.": {string(queue.InvalidNumber), string(queue.PremiumNumber), string(queue.CountryNotAllowed),
			string(queue.OptedOut), string(queue.Duplicate)},
		"dashboard.tile_": {"sent", "delivered", "failed", "uncertain"},
		"sim_state.": {pool.SIMReady, pool.SIMBusy, pool.SIMUnavailable, pool.SIMDisabled, pool.SIMLimitReached,
			pool.SIMNoCredit, pool.SIMBlocked, pool.SIMQuarantined},
		"sim_help.": {pool.SIMDisabled, pool.SIMLimitReached, pool.SIMNoCredit, pool.SIMQuarantined, "no_modem", "paused"},
		"timeline.": {"accepted", "gate", "answer_accepted", "answer_rejected", "answer_ambiguous", "answer_not_sent",
			"answer_duplicate", "report_ok", "report_trying", "report_failed", "retry", "undecided", "resolved", "proved",
			"late_answer", "report_other_sim", "held", "released", "discarded", queue.TimelineExpired, queue.TimelineCancelled},
		"resolve.":      {queue.ResolveSent, queue.ResolveFailed, queue.ResolveResend},
		"severity.":     {pool.FindingFail, pool.FindingWarn, pool.FindingInfo},
		"reports_by.n":  {"0", "1", "2"},
		"step.":         {"L0", "L1", "L2", "L3", "L4", "L5", "L6", "L7"},
		"registration.": {"not_registered", "home", "searching", "denied", "unknown", "roaming", "sms_only"},
		"ussd.": {string(modem.USSDReplyWanted), string(modem.USSDTerminated), string(modem.USSDElsewhere),
			string(modem.USSDUnsupported), string(modem.USSDTimeout)},
		"reason.": {queue.ReasonAnswerLost, queue.ReasonNoEvidence, queue.ReasonRejected, queue.ReasonPartial, queue.ReasonValidity,
			queue.ReasonResolved, queue.ReasonRestored, queue.ReasonCloned, queue.ReasonLate, queue.ReasonClock, queue.ReasonDiscarded,
			queue.ReasonCorrupt},
		"held_reason.": {queue.ReasonRestored, queue.ReasonCloned, queue.ReasonLate, queue.ReasonClock},
		"held.ask_":    {"release", "discard", "release_help", "discard_help"}, "held.go_": {"release", "discard"},
		"alarm.": {"clock", "clock_more", "low", "low_more", "full", "full_more", "read_only", "read_only_more", "checking", "checking_more",
			"data_restored", "data_restored_more", "data_salvaged", "data_salvaged_more", "data_fresh", "data_fresh_more", "data_log_lost", "data_log_lost_more", "held", "rows_damaged",
			"noted", "clock_right"},
		"clock.by_":      {clock.SourceNTP, clock.SourceNITZ, clock.SourceSCTS, clock.SourceOperator, clock.SourceFlag},
		"clock.against_": {clock.SourceNTP, clock.SourceNITZ, clock.SourceSCTS, clock.SourceOperator, clock.SourceFlag, clock.KnownHighWater, clock.KnownBuild},
		"clock.policy_":  {"hold", "send", "skip", "hold_help", "send_help", "skip_help"},
	}
	for _, w := range queue.Windows {
		for _, of := range []string{"name_", "of_", "free_", "segments_", "people_"} {
			many["limits."] = append(many["limits."], of+string(w))
			many["limits."+of] = append(many["limits."+of], string(w))
		}
	}
	many["day."] = weekdays
	many["sending.kind_"], many["sending.off_"] = []string{"sim", "class"}, []string{"sim", "class", "sim_more", "class_more"}
	many["credit.check_"] = []string{queue.CreditConfirmed, queue.CreditAlways, queue.CreditNever}
	many["balance_error."] = []string{"unreadable", "many_amounts", "no_answer", "refused", "unsupported", "ended"}
	many["routes.then_"] = []string{queue.FallbackAny, queue.FallbackWait}
	many["why."] = []string{queue.WhyPinned, queue.WhyBound, queue.WhySticky, queue.WhyFirst, queue.WhyOnly, "route", "most_left"}
	many["forecast.limit_"] = []string{"segments", "people"}
	many["forecast.wait_"] = []string{pool.WaitScheduled, pool.WaitPaused, pool.WaitClass, pool.WaitSIMPaused, pool.WaitQuiet, pool.WaitWindow,
		pool.WaitHour, pool.WaitDay, pool.WaitMonth, pool.WaitRecipients, pool.WaitLine, pool.WaitClock}
	for _, s := range queue.States {
		many["state."] = append(many["state."], string(s))
		many["state_help."] = append(many["state_help."], string(s))
	}
	for g := range groups {
		many["state."] = append(many["state."], g)
	}
	many["class."], many["class_help."] = classes, classes
	for _, s := range []queue.SegmentState{queue.SegmentPending, queue.SegmentSending, queue.SegmentSent, queue.SegmentDelivered,
		queue.SegmentUndelivered, queue.SegmentUncertain, queue.SegmentFailed} {
		many["segment."] = append(many["segment."], string(s))
	}
	for _, s := range []modem.State{modem.StateAbsent, modem.StateSettling, modem.StateOpening, modem.StateLocked, modem.StateSync,
		modem.StateIdent, modem.StateSIM, modem.StateNoSIM, modem.StateSIMBlocked, modem.StateConfig, modem.StateRegister,
		modem.StateSIMDenied, modem.StateReady, modem.StateSending, modem.StateUnknown, modem.StateRecover, modem.StateFault, modem.StateDisabled} {
		many["modem_state."] = append(many["modem_state."], string(s))
		many["modem_help."] = append(many["modem_help."], string(s))
	}
	for _, k := range entryKinds() {
		many["kind."] = append(many["kind."], string(k))
	}
	for _, r := range auth.Roles() {
		many["role."] = append(many["role."], string(r))
		many["role_help."] = append(many["role_help."], string(r))
	}
	many["hook_health."] = []string{webhook.HealthNew, webhook.HealthOK, webhook.HealthFailing, webhook.HealthOff, webhook.HealthGone}
	for _, s := range webhook.States {
		many["hook_state."] = append(many["hook_state."], string(s))
	}
	many["hook_error."] = append(webhook.ReasonCodes(), "unknown")
	for _, c := range formOf(webhook.Endpoint{}).Choices {
		many["hook_event."] = append(many["hook_event."], c.Key)
	}
	for _, s := range scopeChoices(nil) {
		many["scope."] = append(many["scope."], s.Key)
	}
	for n := range notices {
		many["notice."] = append(many["notice."], n)
	}
	for _, status := range []string{"403", "404", "409", "413", "421", "422", "429", "500", "503", "507", "unkept", "not_stored", "read_only"} {
		many["error."] = append(many["error."], status+"_title", status+"_text")
	}
	return many
}

// entryKinds are those of the entries of a modem's history.
func entryKinds() []modem.EntryKind {
	return []modem.EntryKind{modem.EntryState, modem.EntryFault, modem.EntryStep, modem.EntrySIM, modem.EntryNetwork,
		modem.EntryStorage, modem.EntryUSSD, modem.EntryOrder, modem.EntrySend}
}

// mayBe are prefixes that fall back to the data's own words.
var mayBe = []string{"code.", "error_class.", "report_status.", "tech.", "registration.", "invalid.", "invalid_route.", "invalid_quiet.", "invalid_balance.", "finding_do."}

func TestEveryWordUsedExistsAndEveryWordIsUsed(t *testing.T) {
	es := words(t, "es")
	used := map[string]bool{}
	for prefix, ends := range made() {
		for _, end := range ends {
			used[prefix+end] = true
		}
	}
	direct := regexp.MustCompile(`\b(?:t|tn) "([a-z0-9_.]+)"`)
	prefixed := regexp.MustCompile(`print "([a-z0-9_.]+)"`)
	require.NoError(t, fs.WalkDir(templateFiles, "templates", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := templateFiles.ReadFile(p)
		require.NoError(t, err)
		for _, m := range direct.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
		for _, m := range prefixed.FindAllStringSubmatch(string(b), -1) {
			_, known := made()[m[1]]
			require.True(t, known || slices.Contains(mayBe, m[1]), "%s makes keys after %q that this test does not know", p, m[1])
		}
		return nil
	}))
	sections := map[string]bool{}
	for key := range es {
		section, _, _ := strings.Cut(key, ".")
		sections[section] = true
	}
	literal := regexp.MustCompile(`"([a-z_]+)\.([a-z0-9_]+)"`)
	sources, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, p := range sources {
		if !strings.HasPrefix(p, "page_") && p != "i18n.go" || strings.HasSuffix(p, "_test.go") {
			continue
		}
		b, err := os.ReadFile(p)
		require.NoError(t, err)
		for _, m := range literal.FindAllStringSubmatch(string(b), -1) {
			if _, known := made()[m[1]+"."+m[2]]; known { // data completes it
				continue
			}
			if sections[m[1]] && !strings.Contains("modem.restart modem.pin modem.puk modem.power modem.foreign message.resolve doctor.bundle", m[1]+"."+m[2]) {
				used[m[1]+"."+m[2]] = true
			}
		}
	}
	for key := range used {
		require.Contains(t, es, key, "a key that is used")
	}
	for key := range es {
		optional := slices.ContainsFunc(mayBe, func(p string) bool { return strings.HasPrefix(key, p) })
		require.True(t, used[key] || optional, "%s is used nowhere", key)
	}
}

func TestIconsAreThoseThatAreUsed(t *testing.T) {
	sprite, err := staticFiles.ReadFile("static/icons.svg")
	require.NoError(t, err)
	have := map[string]bool{}
	for _, m := range regexp.MustCompile(`symbol id="([^"]+)"`).FindAllStringSubmatch(string(sprite), -1) {
		have[m[1]] = true
	}
	used := map[string]bool{}
	names := regexp.MustCompile(`icon "([a-z0-9-]+)"`)
	files, err := fs.Glob(templateFiles, "templates/*.html")
	require.NoError(t, err)
	for _, f := range files {
		b, err := templateFiles.ReadFile(f)
		require.NoError(t, err)
		for _, m := range names.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	for _, s := range slices.Concat(made()["state."], made()["sim_state."], made()["modem_state."], []string{"read"}) {
		used[stateIcon(s)] = true
	}
	for _, tile := range tiles(queue.Stats{}, fixedNow) {
		used[tile.Icon] = true
	}
	for _, event := range []queue.TimelineEntry{{Event: "accepted"}, {Event: "gate"}, {Event: "answer", Verdict: "accepted"}, {Event: "answer", Verdict: "ambiguous"},
		{Event: "report", Status: 0}, {Event: "report", Status: 0x30}, {Event: "report", Status: 0x41}, {Event: "expired"}, {Event: "retry"}, {Event: "cancelled"}, {Event: "noted"}} {
		used[timelineItemOf(localeOf(t, "es"), event, 1, func(s string) string { return s }).Icon] = true
	}
	for _, k := range entryKinds() {
		used[kindIcon(modem.Entry{Kind: k})] = true
	}
	for _, severity := range made()["severity."] {
		_, icon := severityLook(severity)
		used[icon] = true
	}
	for name := range used {
		require.True(t, have[name], "icon %s is not in the sprite", name)
	}
	for name := range have {
		require.True(t, used[name], "icon %s is used nowhere", name)
	}
}

// TestPagesKeepToTheirPolicy: what the content security policy would block, and
// what would need the Internet, must not be written in the first place.
func TestPagesKeepToTheirPolicy(t *testing.T) {
	bad := regexp.MustCompile(`(?i)\sstyle=|\son[a-z]+=|<script>|<style|javascript:|hx-on|hx-vals='js|https?://`)
	files, err := fs.Glob(templateFiles, "templates/*.html")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		b, err := templateFiles.ReadFile(f)
		require.NoError(t, err)
		require.Empty(t, bad.FindAllString(string(b), -1), f)
	}
	for _, f := range []string{"static/recado.css", "static/dark.css", "static/recado.js"} {
		b, err := staticFiles.ReadFile(f)
		require.NoError(t, err)
		require.Empty(t, regexp.MustCompile(`https?://|\beval\(|new Function|innerHTML`).FindAllString(string(b), -1), f)
	}
}
