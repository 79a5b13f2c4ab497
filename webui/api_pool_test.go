package webui

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/pool"
	"recado/queue"
	"recado/webui/auth"
)

// audited gives what the audit trail says was done, newest first.
func (b *box) trail(n int) (list []string) {
	b.t.Helper()
	rows, err := b.auth.AuditTrail(b.t.Context(), n)
	require.NoError(b.t, err)
	for _, r := range rows {
		list = append(list, r.Action+" "+r.Object+" "+r.Detail)
	}
	return list
}

func (b *box) iccid(i int) string { return b.pool.Modems()[i].SIM.ICCID }

func TestSIMLimitsAreSetAndShown(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	at := v1 + "/sims/" + b.iccid(0)
	got := b.do("PATCH", at, `{"limits":[{"window":"day","max_segments":500},{"window":"month","max_segments":null,"max_recipients":40}],
		"reserve_percent":25,"reset_day":28,"pace":30,"send_window":{"from":"22:00","to":"06:00","days":["mon","sun"]},"credit_low":350}`)
	require.Equal(t, 200, got.StatusCode, "%s", got.body)
	sim := got.json(t)
	limits := sim["limits"].([]any)
	require.Len(t, limits, 4)
	day, month := limits[2].(map[string]any), limits[3].(map[string]any)
	require.Equal(t, map[string]any{"window": "day", "max_segments": 500.0, "max_recipients": nil, "used_segments": 0.0, "used_recipients": 0.0}, without(day, "resets_at"))
	require.Equal(t, 40.0, month["max_recipients"])
	require.Nil(t, month["max_segments"])
	require.Equal(t, []any{true, 25.0, 28.0, 30.0}, []any{sim["limits_chosen"], sim["reserve_percent"], sim["reset_day"], sim["pace"]})
	require.Equal(t, map[string]any{"from": "22:00", "to": "06:00", "days": []any{"mon", "sun"}}, sim["send_window"])
	require.Equal(t, 350.0, sim["credit"].(map[string]any)["low_minor"])
	require.Equal(t, 500.0, sim["room"].(map[string]any)["otp"])
	require.Equal(t, 375.0, sim["room"].(map[string]any)["bulk"], "the reserve is off")
	require.Contains(t, b.trail(3), "sim.update "+b.iccid(0)+" pace=30,send_window=22:00-06:00,limits=day:500/0 month:0/40,reserve_percent=25,reset_day=28")

	require.Equal(t, 30.0, b.do("PATCH", at, `{"reserve":30}`).json(t)["reserve_percent"], "by the name that the contract has for it")
	require.Equal(t, 25.0, b.do("PATCH", at, `{"reserve":25,"reserve_percent":25}`).json(t)["reserve_percent"])

	sim = b.do("PATCH", at, `{"limits":null,"send_window":null,"pace":-1}`).json(t)
	require.Equal(t, false, sim["limits_chosen"])
	require.Nil(t, sim["send_window"])
	require.Nil(t, sim["limits"].([]any)[2].(map[string]any)["max_segments"], "an emulated SIM has none")
	require.Equal(t, 25.0, sim["reserve_percent"], "what is absent stays")

	for body, place := range map[string]string{
		`{"limits":[{"window":"year","max_segments":5}]}`: "body.limits[0].window", `{"limits":[{"window":"day","max_segments":0}]}`: "body.limits[0].max_segments",
		`{"limits":[{"window":"day"},{"window":"day"}]}`: "body.limits", `{"reserve_percent":96}`: "body.reserve_percent", `{"reset_day":0}`: "body.reset_day",
		`{"pace":601}`: "body.pace", `{"send_window":{"from":"25:00","to":"06:00"}}`: "body.send_window.from",
		`{"send_window":{"from":"08:00","to":"20:00","days":["lunes"]}}`: "body.send_window.days[0]", `{"routes":[99]}`: "body.routes", `{"warm_up":true}`: "body.warm_up",
		`{"credit_low":-2}`: "body.credit_low", `{"reserve":96}`: "body.reserve", `{"reserve":30,"reserve_percent":20}`: "body.reserve",
	} {
		p := b.problem(b.do("PATCH", at, body), 422, "invalid")
		require.Equal(t, place, p.Errors[0].Location, body)
		require.NotEmpty(t, p.Errors[0].Message)
	}
	require.Equal(t, 403, b.do("PATCH", at, `{"pace":1}`, "X-API-Key", b.key(auth.SIMsRead), "Authorization", "").StatusCode)
}

// without is a copy of an object without some of its fields.
func without(m map[string]any, fields ...string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	for _, f := range fields {
		delete(out, f)
	}
	return out
}

func TestALimitIsUsedUpAndTold(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	at := v1 + "/sims/" + b.iccid(0)
	require.Equal(t, 200, b.do("PATCH", at, `{"limits":[{"window":"day","max_segments":2}]}`).StatusCode)
	first, err := b.s.store.LastEvent(t.Context())
	require.NoError(t, err)
	quote := b.do("POST", v1+"/messages/quote", `{"to":["600111222","600111333","600111444"],"text":"x"}`).json(t)
	require.Equal(t, false, quote["feasible"].(bool) && quote["first_limit"] == nil, "%v", quote)
	require.Equal(t, b.iccid(0), quote["first_limit"].(map[string]any)["sim"])
	require.Equal(t, "day", quote["first_limit"].(map[string]any)["window"])
	require.Equal(t, 202, b.do("POST", v1+"/messages", `{"to":["600111222","600111333","600111444"],"text":"x"}`).StatusCode)
	require.Eventually(t, func() bool { return b.do("GET", at, nil).json(t)["state"] == "limit_reached" }, 20*time.Second, 20*time.Millisecond)
	day := b.do("GET", at, nil).json(t)["limits"].([]any)[2].(map[string]any)
	require.Equal(t, 2.0, day["used_segments"])
	require.NotNil(t, day["resets_at"])
	events, err := b.s.store.Events(t.Context(), first, 500)
	require.NoError(t, err)
	levels := []string{}
	for _, e := range events {
		if e.Type == "sim.limit" {
			levels = append(levels, string(e.Data))
		}
	}
	require.NotEmpty(t, levels)
	require.Contains(t, levels[len(levels)-1], `"reached"`)
	metrics := string(b.do("GET", "/metrics", nil).body)
	require.Contains(t, metrics, fmt.Sprintf(`recado_sim_used{of="segments",sim="%s",window="day"} 2`, b.iccid(0)))
	require.Contains(t, metrics, fmt.Sprintf(`recado_sim_limit{of="segments",sim="%s",window="day"} 2`, b.iccid(0)))

	// The start page and the SIM's page say it, with what to do.
	cookie := b.cookie(auth.RoleReader)
	for _, path := range []string{"/", "/lines", "/lines/" + b.iccid(0)} {
		require.Contains(t, string(b.browse("GET", path, cookie, nil).body), "2 de 2 SMS hoy", path)
	}
}

// TestWhatASIMSentIsCountedWithoutALimit: in the list of all of them too.
func TestWhatASIMSentIsCountedWithoutALimit(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	require.Equal(t, 202, b.do("POST", v1+"/messages", `{"to":["600111222","600111333"],"text":"x"}`).StatusCode)
	used := func(path string) (counts []float64) {
		sim := b.do("GET", path, nil).json(t)
		if items, ok := sim["items"].([]any); ok {
			sim = items[0].(map[string]any)
		}
		for _, l := range sim["limits"].([]any) {
			counts = append(counts, l.(map[string]any)["used_segments"].(float64), l.(map[string]any)["used_recipients"].(float64))
		}
		return counts
	}
	all := []float64{2, 2, 2, 2, 2, 2, 2, 2}
	require.Eventually(t, func() bool { return slices.Equal(all, used(v1+"/sims/"+b.iccid(0))) }, 20*time.Second, 20*time.Millisecond)
	require.Equal(t, all, used(v1+"/sims"))
}

func TestKillSwitchesOfASIMAndAClass(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	sim := b.iccid(1)
	state := b.do("POST", v1+"/sending/pause", map[string]any{"sim": sim}).json(t)
	require.Equal(t, map[string]any{"paused": false, "sims": []any{sim}, "classes": []any{}}, state)
	state = b.do("POST", v1+"/sending/pause", map[string]any{"class": "bulk"}).json(t)
	require.Equal(t, []any{"bulk"}, state["classes"])
	require.Equal(t, state, b.do("GET", v1+"/status", nil).json(t)["sending"])
	require.Equal(t, true, b.do("GET", v1+"/sims/"+sim, nil).json(t)["paused"])
	require.Contains(t, b.trail(2), "sending.pause class bulk ")
	require.Contains(t, b.trail(2), "sending.pause sim "+sim+" ")
	quote := b.do("POST", v1+"/messages/quote", `{"to":"600111222","text":"x","class":"bulk"}`).json(t)
	require.Equal(t, "class", quote["waits"].([]any)[0].(map[string]any)["why"])
	require.Nil(t, quote["eta_seconds"])

	require.Equal(t, true, b.do("POST", v1+"/sending/pause", nil).json(t)["paused"])
	state = b.do("POST", v1+"/sending/resume", nil).json(t)
	require.Equal(t, []any{sim}, state["sims"], "that of everything leaves the others")
	require.Equal(t, map[string]any{"paused": false, "sims": []any{}, "classes": []any{"bulk"}}, b.do("POST", v1+"/sending/resume", map[string]any{"sim": sim}).json(t))
	require.Equal(t, "body", b.problem(b.do("POST", v1+"/sending/pause", map[string]any{"sim": sim, "class": "otp"}), 422, "invalid").Errors[0].Location)
	require.Equal(t, "body.sim", b.problem(b.do("POST", v1+"/sending/pause", map[string]any{"sim": "none"}), 422, "invalid").Errors[0].Location)
	require.Equal(t, 422, b.do("POST", v1+"/sending/pause", map[string]any{"class": "spam"}).StatusCode)
}

func TestRoutesAreKeptInOrder(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	one, two := b.iccid(0), b.iccid(1)
	add := func(body map[string]any) map[string]any {
		a := b.do("POST", v1+"/routes", body)
		require.Equal(t, http.StatusCreated, a.StatusCode, "%s", a.body)
		return a.json(t)
	}
	first := add(map[string]any{"name": "Portugal", "countries": []string{"pt"}, "sims": []any{map[string]any{"sim": one, "weight": 3}, map[string]any{"sim": two}}})
	require.Equal(t, []any{"PT"}, first["countries"])
	second := add(map[string]any{"name": "codes", "classes": []string{"otp"}, "sims": []any{map[string]any{"sim": two}}, "fallback": "wait", "position": 1})
	list := func() (names []string) {
		for _, r := range b.do("GET", v1+"/routes", nil).json(t)["items"].([]any) {
			names = append(names, r.(map[string]any)["name"].(string))
		}
		return names
	}
	require.Equal(t, []string{"codes", "Portugal"}, list())
	at := fmt.Sprintf("%s/routes/%v", v1, second["id"])
	changed := b.do("PATCH", at, map[string]any{"position": 2}).json(t)
	require.Equal(t, []string{"Portugal", "codes"}, list())
	require.Equal(t, "wait", changed["fallback"], "what is absent stays")
	require.Equal(t, []any{first["id"], second["id"]}, b.do("GET", v1+"/sims/"+two, nil).json(t)["routes"])

	// A SIM's routes may be set from the SIM; the last SIM of a route cannot go.
	got := b.do("PATCH", v1+"/sims/"+one, map[string]any{"routes": []any{second["id"]}})
	require.Equal(t, []any{second["id"]}, got.json(t)["routes"], "%s", got.body)
	p := b.problem(b.do("PATCH", v1+"/sims/"+two, map[string]any{"routes": []any{}}), 422, "invalid")
	require.Contains(t, p.Errors[0].Message, "only SIM")

	for body, place := range map[string]string{
		`{"name":"x"}`: "body.sims", `{"name":"","sims":[{"sim":"` + one + `"}]}`: "body.name", `{"name":"x","sims":[{"sim":"nobody"}]}`: "body.sims[0].sim",
		`{"name":"x","countries":["Spain"],"sims":[{"sim":"` + one + `"}]}`: "body.countries", `{"name":"x","prefixes":["abc"],"sims":[{"sim":"` + one + `"}]}`: "body.prefixes",
		`{"name":"x","sims":[{"sim":"` + one + `","weight":101}]}`: "body.sims[0].weight", `{"name":"x","fallback":"never"}`: "body.fallback",
	} {
		require.Equal(t, place, b.problem(b.do("POST", v1+"/routes", body), 422, "invalid").Errors[0].Location, body)
	}
	require.Equal(t, 204, b.do("DELETE", at, nil).StatusCode)
	require.Equal(t, 404, b.do("DELETE", at, nil).StatusCode)
	require.Equal(t, []string{"Portugal"}, list())
	require.Equal(t, fmt.Sprintf("route.delete %v ", second["id"]), b.trail(1)[0])
}

func TestBalanceAndCanaryOfASIM(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	at := v1 + "/sims/" + b.iccid(0)
	reading := b.do("POST", at+"/balance", nil).json(t)
	require.NotNil(t, reading["balance_minor"], "%v", reading)
	require.Equal(t, "EUR", reading["currency"])
	credit := b.do("GET", at, nil).json(t)["credit"].(map[string]any)
	require.Equal(t, reading["balance_minor"], credit["balance_minor"])
	require.Len(t, b.do("GET", at+"/balance", nil).json(t)["items"], 1)
	require.Contains(t, b.trail(1), "sim.balance "+b.iccid(0)+" read")
	for _, shipped := range b.do("GET", v1+"/balance-settings", nil).json(t)["shipped"].([]any) {
		require.Equal(t, false, shipped.(map[string]any)["tested"], "until somebody confirms it")
	}
	confirmed := b.do("PATCH", v1+"/balance-settings", map[string]any{"confirm": "Movistar", "check": "never"}).json(t)
	require.Equal(t, "never", confirmed["check"])
	require.Equal(t, true, confirmed["shipped"].([]any)[0].(map[string]any)["tested"])
	require.Equal(t, 422, b.do("PATCH", v1+"/balance-settings", map[string]any{"confirm": "Nobody"}).StatusCode)

	started := b.do("POST", at+"/canary", nil)
	require.Equal(t, 202, started.StatusCode, "%s", started.body)
	require.Len(t, started.json(t)["items"], 2, "one there and one back")
	require.Equal(t, 409, b.do("POST", at+"/canary", map[string]any{"to": b.iccid(1)}).StatusCode, "it is on its way")
	require.Eventually(t, func() bool {
		for _, c := range b.do("GET", v1+"/canaries?sim="+b.iccid(0), nil).json(t)["items"].([]any) {
			if c.(map[string]any)["state"] != "arrived" {
				return false
			}
		}
		return true
	}, 30*time.Second, 50*time.Millisecond)
	set := b.do("PATCH", v1+"/canary-settings", map[string]any{"every_hours": 12, "real_sims": true}).json(t)
	require.Equal(t, map[string]any{"every_hours": 12.0, "real_sims": true, "suspicion": true}, set)
	require.Equal(t, 422, b.do("PATCH", v1+"/canary-settings", map[string]any{"every_hours": 721}).StatusCode)
}

func TestQuietHoursBindWhatSomebodyChose(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	q := b.do("GET", v1+"/quiet-hours", nil).json(t)
	require.Equal(t, map[string]any{"classes": []any{"bulk"}, "from": "21:30", "to": "09:00", "sunday": false, "holidays": []any{}, "chosen": false}, q)
	q = b.do("PATCH", v1+"/quiet-hours", `{"classes":["bulk","normal"],"from":"00:00","to":"23:59","holidays":["12-25"]}`).json(t)
	require.Equal(t, []any{[]any{"normal", "bulk"}, true}, []any{sorted(q["classes"]), q["chosen"]}, "%v", q)
	quote := b.do("POST", v1+"/messages/quote", `{"to":"600111222","text":"x","class":"bulk"}`).json(t)
	require.Equal(t, "quiet_hours", quote["waits"].([]any)[0].(map[string]any)["why"], "%v", quote)
	for body, place := range map[string]string{`{"from":"9"}`: "body.from", `{"holidays":["Christmas"]}`: "body.holidays", `{"classes":["spam"]}`: "body.classes[0]"} {
		require.Equal(t, place, b.problem(b.do("PATCH", v1+"/quiet-hours", body), 422, "invalid").Errors[0].Location, body)
	}
}

// sorted has the classes in the order of their lanes, whatever the list's is.
func sorted(v any) []any {
	out := []any{}
	for _, class := range []queue.Class{queue.OTP, queue.Alert, queue.Normal, queue.Bulk} {
		for _, one := range v.([]any) {
			if one == string(class) {
				out = append(out, one)
			}
		}
	}
	return out
}

func TestARefusedChangeOfASIMChangesNothing(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	at := v1 + "/sims/" + b.iccid(0)
	require.Equal(t, 200, b.do("PATCH", v1+"/sims/"+b.iccid(1), `{"name":"Mostrador"}`).StatusCode)
	was := without(b.do("GET", at, nil).json(t), "signal")
	trail := b.trail(1)
	const limits = `"limits":[{"window":"day","max_segments":7}],"pace":30,"name":"Citas","paused":true`
	for body, place := range map[string]string{
		`{` + limits + `,"routes":[99]}`:                                                         "body.routes",
		`{` + limits + `,"reset_day":32}`:                                                        "body.reset_day",
		`{` + limits + `,"send_window":{"from":"08:00","to":"24:00"}}`:                           "body.send_window.to",
		`{"paused":true,"pace":30,"warm_up":true}`:                                               "body.warm_up",
		`{"paused":true,"pace":30,"warm_up":true,"limits":[{"window":"hour","max_segments":5}]}`: "body.warm_up",
		`{"paused":true,"pace":30,"limits":[{"window":"day"},{"window":"day"}]}`:                 "body.limits",
	} {
		p := b.problem(b.do("PATCH", at, body), 422, "invalid")
		require.Equal(t, place, p.Errors[0].Location, body)
		require.Equal(t, was, without(b.do("GET", at, nil).json(t), "signal"), body)
	}
	taken := b.do("PATCH", at, `{"paused":true,"limits":[{"window":"day","max_segments":7}],"name":"Mostrador"}`)
	require.Equal(t, 409, taken.StatusCode)
	require.Equal(t, was, without(b.do("GET", at, nil).json(t), "signal"))
	require.Equal(t, trail, b.trail(1), "nothing was done, and nothing is said to have been")

	require.Equal(t, 200, b.do("PATCH", at, `{`+limits+`,"name":"Citas"}`).StatusCode)
	require.ElementsMatch(t, []string{"sim.update " + b.iccid(0) + " name,pace=30,limits=day:7/0", "sending.pause sim " + b.iccid(0) + " "}, b.trail(2))
	require.Equal(t, 200, b.do("PATCH", at, `{"name":"Citas"}`).StatusCode, "its own name it may keep")
}

// TestOnlyAnAdministratorConfirmsACode: the box sends a confirmed one by itself, on
// all SIMs of the operator.
func TestOnlyAnAdministratorConfirmsACode(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	at := "/lines/" + b.iccid(0) + "/credit"
	require.Equal(t, 403, b.browse("POST", at, b.cookie(auth.RoleOperator), url.Values{"confirm": {"1"}}).StatusCode)
	a := b.browse("POST", at, b.cookie(auth.RoleAdmin), url.Values{"confirm": {"1"}})
	require.Equal(t, 422, a.StatusCode, "may, but for an emulated SIM there is nothing to confirm")

	v, err := newViews()
	require.NoError(t, err)
	page, err := v.pages.page("es", "sim")
	require.NoError(t, err)
	sim := pool.SIM{ICCID: "8934", Credit: pool.Credit{SIMCredit: queue.SIMCredit{Known: true, Minor: 150}}}
	sim.Credit.Way.Code, sim.Credit.Way.Operator = "*133#", "Movistar"
	for _, admin := range []bool{true, false} {
		var out strings.Builder
		require.NoError(t, page.ExecuteTemplate(&out, "credit", view{Lang: "es", locale: v.locales["es"], zone: time.UTC,
			Person: &viewer{CanSend: true, Admin: admin}, It: simPage{SIM: simView{SIM: sim}}}))
		require.Equal(t, admin, strings.Contains(out.String(), `name="confirm"`))
		require.Contains(t, out.String(), "Preguntar el saldo")
	}
}
