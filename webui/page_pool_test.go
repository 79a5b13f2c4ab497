package webui

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/pool"
	"recado/queue"
	"recado/webui/auth"
)

func TestLimitsInAClerksWords(t *testing.T) {
	es, en := localeOf(t, "es"), localeOf(t, "en")
	require.Equal(t, "312 of 500 SMS today; mailings stop at 400", limitWords(en, "segments", "day", 312, 500, 20))
	require.Equal(t, "312 de 500 SMS hoy; los envíos generales paran en 400", limitWords(es, "segments", "day", 312, 500, 20))
	require.Equal(t, "3 of 7 different people this month", limitWords(en, "people", "month", 3, 7, 0))
	require.Equal(t, "1,200 SMS this month, no limit", limitWords(en, "segments", "month", 1200, 0, 20))
	require.Equal(t, 5, bulkMost(7, 20), "rounded down, as the gate does")
	require.Equal(t, 1, bulkMost(1, 95), "but something is left")
	for _, c := range []struct {
		used, most int
		tone       string
		width      int
	}{{0, 10, "ok", 0}, {7, 10, "ok", 70}, {8, 10, "warn", 80}, {10, 10, "bad", 100}, {11, 10, "bad", 100}} {
		m := meterOf(c.used, c.most, 20)
		require.Equal(t, []any{c.tone, c.width, 80}, []any{m.Tone, m.Used, m.Mark})
	}
	require.False(t, meterOf(5, 0, 20).On)
}

func TestTheReasonForASIMIsInWords(t *testing.T) {
	for _, code := range []string{"es", "en"} {
		l := localeOf(t, code)
		for _, why := range []string{queue.WhyPinned, queue.WhyBound, queue.WhySticky, queue.WhyFirst, queue.WhyOnly, "route", "most_left", "failover:cms_38"} {
			words := whyWords(l, why)
			require.NotEmpty(t, words, why)
			require.NotEqual(t, why, words)
		}
		require.Empty(t, whyWords(l, ""), "of an attempt of an earlier version")
		require.Equal(t, "something_new", whyWords(l, "something_new"))
	}
	require.Contains(t, whyWords(localeOf(t, "en"), "failover:cms_38"), "another failed")
}

func TestAClerkChangesLimits(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	here := "/lines/" + b.iccid(0)
	cookie := b.cookie(auth.RoleOperator)
	form := url.Values{"segments_minute": {"10"}, "segments_hour": {""}, "segments_day": {"500"}, "segments_month": {""}, "people_month": {"300"}, "reserve": {"20"}, "reset_day": {"15"}}
	require.Equal(t, 303, b.browse("POST", here+"/limits", cookie, form).StatusCode)
	page := string(b.browse("GET", here, cookie, nil).body)
	for _, words := range []string{"0 de 500 SMS hoy; los envíos generales paran en 400", "0 de 300 personas distintas este mes", "0 SMS en la última hora, sin límite", `name="reset_day" inputmode="numeric" autocomplete="off" maxlength="2" value="15"`} {
		require.Contains(t, page, words)
	}
	limits, err := b.pool.Limits(t.Context(), b.iccid(0))
	require.NoError(t, err)
	require.Equal(t, []int{10, 0, 500, 0}, []int{limits.Limits[0].MaxSegments, limits.Limits[1].MaxSegments, limits.Limits[2].MaxSegments, limits.Limits[3].MaxSegments})

	for field, bad := range map[string]string{"segments_day": "muchos", "people_month": "-1", "reserve": "96", "reset_day": "0"} {
		wrong := url.Values{}
		for k, v := range form {
			wrong[k] = v
		}
		wrong.Set(field, bad)
		a := b.browse("POST", here+"/limits", cookie, wrong)
		require.Equal(t, 422, a.StatusCode, field)
		require.Contains(t, string(a.body), `role="alert"`, field)
		require.Contains(t, string(a.body), `value="`+bad+`"`, "%s: what was typed is kept", field)
	}
	require.Equal(t, 303, b.browse("POST", here+"/limits", cookie, url.Values{"usual": {"1"}}).StatusCode)
	limits, err = b.pool.Limits(t.Context(), b.iccid(0))
	require.NoError(t, err)
	require.False(t, limits.Chosen)
	require.Equal(t, 403, b.browse("POST", here+"/limits", b.cookie(auth.RoleReader), form).StatusCode)

	hours := url.Values{"pace": {"own"}, "per_minute": {"12"}, "window": {"some"}, "from": {"08:00"}, "to": {"20:30"}, "day": {"mon", "tue"}}
	require.Equal(t, 303, b.browse("POST", here+"/hours", cookie, hours).StatusCode)
	sim, err := b.pool.SIM(t.Context(), b.iccid(0))
	require.NoError(t, err)
	require.Equal(t, queue.SendWindow{From: 480, To: 1230, Days: 3}, sim.Window)
	require.Equal(t, 12, sim.Pace)
	require.Contains(t, string(b.browse("GET", here, cookie, nil).body), "de 08:00 a 20:30")
	for field, bad := range map[string]string{"per_minute": "0", "from": "8", "day": ""} {
		wrong := url.Values{}
		for k, v := range hours {
			wrong[k] = v
		}
		wrong.Set(field, bad)
		if bad == "" {
			wrong.Del(field)
		}
		a := b.browse("POST", here+"/hours", cookie, wrong)
		require.Equal(t, 422, a.StatusCode, field)
		require.Contains(t, string(a.body), `role="alert"`, field)
	}
}

func TestThePageOfRules(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	cookie, reader := b.cookie(auth.RoleOperator), b.cookie(auth.RoleReader)
	require.Contains(t, string(b.browse("GET", "/rules", reader, nil).body), "No hay ninguna ruta")
	require.NotContains(t, string(b.browse("GET", "/rules", reader, nil).body), "/rules/new")
	form := url.Values{"name": {"Portugal"}, "prefixes": {"+351, +3519"}, "class": {"bulk"}, "sim": {b.iccid(1)}, "weight_" + b.iccid(1): {"5"}, "fallback": {"wait"}, "enabled": {"1"}}
	require.Equal(t, 303, b.browse("POST", "/rules", cookie, form).StatusCode)
	form.Set("name", "Códigos")
	form.Set("prefixes", "")
	require.Equal(t, 303, b.browse("POST", "/rules", cookie, form).StatusCode)
	routes, err := b.s.store.Routes(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"+351", "+3519"}, routes[0].Prefixes)
	require.Equal(t, []queue.RouteSIM{{ICCID: b.iccid(1), Weight: 5}}, routes[0].SIMs)
	page := string(b.browse("GET", "/rules", cookie, nil).body)
	require.Contains(t, page, "números que empiezan por &#43;351, &#43;3519 · clase Envío general")
	require.Contains(t, page, "si ninguna puede, espera")
	second := routeAddress(routes[1].ID)
	require.Equal(t, 303, b.browse("POST", second+"/move", cookie, url.Values{"to": {"up"}}).StatusCode)
	routes, err = b.s.store.Routes(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Códigos", routes[0].Name)

	form.Set("countries", "España")
	a := b.browse("POST", second, cookie, form)
	require.Equal(t, 422, a.StatusCode)
	require.Contains(t, string(a.body), "Un país se escribe con dos letras")
	require.Contains(t, string(a.body), `value="España"`, "what was typed is kept")
	form.Del("sim")
	form.Del("countries")
	require.Contains(t, string(b.browse("POST", second, cookie, form).body), "Marque al menos una SIM")
	require.Equal(t, 303, b.browse("POST", second+"/delete", cookie, url.Values{}).StatusCode)
	require.Equal(t, 404, b.browse("GET", second, cookie, nil).StatusCode)
	require.Equal(t, 403, b.browse("POST", "/rules", reader, form).StatusCode)

	require.Equal(t, 303, b.browse("POST", "/rules/quiet", cookie, url.Values{"class": {"bulk", "normal"}, "from": {"22:00"}, "to": {"08:00"}, "holidays": {"12-25, 01-06"}}).StatusCode)
	quiet, chosen := b.pool.QuietHours()
	require.True(t, chosen)
	require.Equal(t, []string{"12-25", "01-06"}, quiet.Holidays)
	a = b.browse("POST", "/rules/quiet", cookie, url.Values{"from": {"22:00"}, "to": {"08:00"}, "holidays": {"Navidad"}})
	require.Equal(t, 422, a.StatusCode)
	require.Contains(t, string(a.body), "Un festivo se escribe como")
	require.Equal(t, 303, b.browse("POST", "/rules/canary", cookie, url.Values{"every": {"12"}, "real": {"1"}}).StatusCode)
	require.Equal(t, 422, b.browse("POST", "/rules/canary", cookie, url.Values{"every": {"often"}}).StatusCode)
	set, err := b.s.store.CanarySettings(t.Context())
	require.NoError(t, err)
	require.Equal(t, queue.CanarySettings{EveryHours: 12, RealSIMs: true}, set)
	require.Equal(t, 403, b.browse("POST", "/rules/balance", cookie, url.Values{"check": {"always"}}).StatusCode)
	require.Equal(t, 303, b.browse("POST", "/rules/balance", b.cookie(auth.RoleAdmin), url.Values{"check": {"always"}}).StatusCode)
	require.Equal(t, queue.CreditAlways, b.pool.CreditSettings().Check)
}

func TestKillSwitchesOnTheStartPage(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	cookie := b.cookie(auth.RoleOperator)
	require.Equal(t, 303, b.browse("POST", "/sending/pause", cookie, url.Values{"class": {"bulk"}}).StatusCode)
	a := b.browse("POST", "/sending/pause", cookie, url.Values{"sim": {b.iccid(0)}, "next": {"/lines/" + b.iccid(0)}})
	require.Equal(t, "/lines/"+b.iccid(0), a.Header.Get("Location"))
	page := string(b.browse("GET", "/", cookie, nil).body)
	require.Contains(t, page, "La clase «Envío general» está parada.")
	require.Regexp(t, `La SIM .* está parada\.</strong> Lo hizo the operator \(\d\d:\d\d\)\.`, page)
	require.Equal(t, pool.Pauses{SIMs: []string{b.iccid(0)}, Classes: []queue.Class{queue.Bulk}}, b.pool.Pauses())
	require.NotContains(t, string(b.browse("GET", "/", b.cookie(auth.RoleReader), nil).body), `action="/sending`)
	// What the banner says is not said again on the same page, and nobody is told to
	// send a POST; a SIM that is stopped is not called out of use.
	lines, sim := string(b.browse("GET", "/lines", cookie, nil).body), string(b.browse("GET", "/lines/"+b.iccid(0), cookie, nil).body)
	for path, page := range map[string]string{"/lines": lines, "the SIM": sim} {
		require.Equal(t, 1, strings.Count(page, "está parada.</strong> Lo hizo")-strings.Count(page, "La clase"), path)
		require.NotContains(t, page, "en pausa", path)
		require.Contains(t, page, "</svg>Parada</span>", path)
		require.NotContains(t, page, "Desactivada", path)
	}
	doctor := string(b.browse("GET", "/doctor", cookie, nil).body)
	require.Contains(t, doctor, "para algunas clases: Envío general")
	require.Contains(t, doctor, "Reanúdelas cuando quiera")
	require.NotContains(t, doctor, "/api/v1")
	require.Equal(t, 303, b.browse("POST", "/sending/resume", cookie, url.Values{"class": {"bulk"}}).StatusCode)
	require.Equal(t, 303, b.browse("POST", "/sending/resume", cookie, url.Values{"sim": {b.iccid(0)}}).StatusCode)
	require.Empty(t, b.pool.Pauses().SIMs)
	require.Equal(t, 422, b.browse("POST", "/sending/pause", cookie, url.Values{"class": {"spam"}}).StatusCode)
}

func TestCreditAndTestMessagesOnTheSIMsPage(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	cookie, here := b.cookie(auth.RoleOperator), "/lines/"+b.iccid(0)
	a := b.browse("POST", here+"/balance", cookie, url.Values{})
	require.Equal(t, 200, a.StatusCode)
	require.Contains(t, string(a.body), "12,34 €")
	require.Equal(t, 303, b.browse("POST", here+"/credit", cookie, url.Values{"low": {"20,50"}}).StatusCode)
	sim, err := b.pool.SIM(t.Context(), b.iccid(0))
	require.NoError(t, err)
	require.Equal(t, int64(2050), sim.Credit.Limit())
	require.Contains(t, string(b.browse("GET", "/", cookie, nil).body), "Queda poco saldo (12,34 €)")
	for _, path := range []string{"/lines", here} {
		page := string(b.browse("GET", path, cookie, nil).body)
		require.Contains(t, page, "Queda poco saldo (12,34 €)", path)
		require.NotContains(t, page, "le queda poco saldo", "%s: once is enough", path)
	}
	require.Equal(t, 422, b.browse("POST", here+"/credit", cookie, url.Values{"low": {"poco"}}).StatusCode)
	require.Equal(t, 303, b.browse("POST", here+"/canary", cookie, url.Values{}).StatusCode)
	a = b.browse("POST", here+"/canary", cookie, url.Values{})
	require.Contains(t, []int{303, 422}, a.StatusCode, "the first may have ended")
	require.Eventually(t, func() bool {
		list, _, err := b.s.store.Canaries(t.Context(), queue.CanaryFilter{SIM: b.iccid(0), State: queue.CanaryArrived})
		return err == nil && len(list) >= 2
	}, 30*time.Second, 50*time.Millisecond)
	require.Contains(t, string(b.browse("GET", here, cookie, nil).body), "Llegó; aceptado a los")
	require.Equal(t, 303, b.browse("POST", here+"/free", cookie, url.Values{}).StatusCode)
	reader := b.cookie(auth.RoleReader)
	for _, deed := range []string{"balance", "credit", "canary", "free", "limits", "hours"} {
		require.Equal(t, 403, b.browse("POST", here+"/"+deed, reader, url.Values{}).StatusCode, deed)
		require.Equal(t, 404, b.browse("POST", "/lines/none/"+deed, cookie, url.Values{}).StatusCode, deed)
	}
}

func TestTheWritePageSaysWhatItTakes(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	cookie := b.cookie(auth.RoleOperator)
	require.Equal(t, 303, b.browse("POST", "/lines/"+b.iccid(0)+"/limits", cookie, url.Values{"segments_day": {"10"}, "reserve": {"20"}, "reset_day": {"1"}}).StatusCode)
	to := ""
	for i := range 12 {
		to += fmt.Sprintf("6551112%02d\n", i)
	}
	page := string(b.browse("POST", "/write", cookie, url.Values{"to": {to}, "text": {"Corte de agua"}, "class": {"bulk"}, "once": {"x"}}).body)
	require.Contains(t, page, "se le acaba el límite del día")
	require.Contains(t, page, "Espera al día siguiente")
	require.Equal(t, 303, b.browse("POST", "/sending/pause", cookie, url.Values{"class": {"bulk"}}).StatusCode)
	page = string(b.browse("POST", "/write", cookie, url.Values{"to": {"655111200"}, "text": {"x"}, "class": {"bulk"}, "once": {"x"}}).body)
	require.Contains(t, page, "Esta clase está parada.")
	require.NotContains(t, page, "Ahora no hay línea", "there is one")
}

// warming makes the first SIM begin gently with a tenth of 500 a day.
func (b *box) warming() string {
	b.ready(1)
	at := v1 + "/sims/" + b.iccid(0)
	got := b.do("PATCH", at, `{"limits":[{"window":"minute","max_segments":10},{"window":"hour","max_segments":100},{"window":"day","max_segments":500},{"window":"month","max_recipients":500}],"warm_up":true}`)
	require.Equal(b.t, 200, got.StatusCode, "%s", got.body)
	return at
}

// shown are the fields of a form on a page as they are filled in.
func shown(t *testing.T, page, action string) url.Values {
	t.Helper()
	_, form, found := strings.Cut(page, `action="`+action+`"`)
	require.True(t, found, "no form for %s", action)
	form, _, _ = strings.Cut(form, "</form>")
	values := url.Values{}
	for _, tag := range regexp.MustCompile(`<input [^>]*>`).FindAllString(form, -1) {
		attr := func(name string) string {
			if m := regexp.MustCompile(` ` + name + `="([^"]*)"`).FindStringSubmatch(tag); m != nil {
				return html.UnescapeString(m[1])
			}
			return ""
		}
		if kind := attr("type"); (kind == "checkbox" || kind == "radio") && !strings.Contains(tag, " checked") {
			continue
		}
		values.Add(attr("name"), attr("value"))
	}
	return values
}

// TestAWarmingLimitIsNotKeptForGood: whoever changes another limit while a SIM is
// new, on its page or by what the API gave, leaves the day's limit as it was.
func TestAWarmingLimitIsNotKeptForGood(t *testing.T) {
	b := newBox(t, 1)
	at := b.warming()
	holds := func(hour int) {
		t.Helper()
		got, err := b.pool.Limits(t.Context(), b.iccid(0))
		require.NoError(t, err)
		require.Equal(t, []int{hour, 50, 50, 500}, []int{got.Limits[1].MaxSegments, got.Limits[2].MaxSegments, got.Warm, got.Full})
	}
	holds(100)
	here, cookie := "/lines/"+b.iccid(0), b.cookie(auth.RoleOperator)
	page := string(b.browse("GET", here, cookie, nil).body)
	require.Contains(t, page, "0 de 50 SMS hoy", "what holds now is told")
	require.Contains(t, page, "hoy puede enviar 50 de sus 500 SMS diarios")
	form := shown(t, page, here+"/limits#limits")
	require.Equal(t, "500", form.Get("segments_day"), "what is filled in is the whole limit")
	require.Equal(t, 303, b.browse("POST", here+"/limits", cookie, form).StatusCode)
	holds(100)
	form = shown(t, string(b.browse("GET", here, cookie, nil).body), here+"/limits#limits")
	form.Set("segments_hour", "200")
	require.Equal(t, 303, b.browse("POST", here+"/limits", cookie, form).StatusCode)
	holds(200)

	sim := b.do("GET", at, nil).json(t)
	require.Equal(t, 50.0, sim["warm_limit"])
	var limits []any
	for _, l := range sim["limits"].([]any) {
		limits = append(limits, without(l.(map[string]any), "used_segments", "used_recipients", "resets_at"))
	}
	require.Equal(t, 500.0, limits[2].(map[string]any)["max_segments"])
	limits[1].(map[string]any)["max_segments"] = 300
	require.Equal(t, 200, b.do("PATCH", at, map[string]any{"limits": limits}).StatusCode)
	holds(300)

	form.Del("warm_up")
	form.Del("seen")
	require.Equal(t, 303, b.browse("POST", here+"/limits", cookie, form).StatusCode)
	require.Nil(t, b.do("GET", at, nil).json(t)["warm_limit"])
}

// TestARouteKeepsTheConditionsThatNobodyTouched: its form shows all that holds of it,
// or a new name for it would make it take every message.
func TestARouteKeepsTheConditionsThatNobodyTouched(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	cookie := b.cookie(auth.RoleOperator)
	people, err := b.auth.People(t.Context())
	require.NoError(t, err)
	person := people[0].ID
	_, key, err := b.auth.CreateKey(t.Context(), auth.NewKey{Name: "Tienda", Scopes: []auth.Scope{auth.MessagesSend}})
	require.NoError(t, err)
	require.NoError(t, b.auth.RevokeKey(t.Context(), key.ID))
	_, offered, err := b.auth.CreateKey(t.Context(), auth.NewKey{Name: "Citas", Scopes: []auth.Scope{auth.MessagesSend}})
	require.NoError(t, err)
	added, err := b.s.store.AddRoute(t.Context(), queue.Route{Name: "Ana", Enabled: true, Keys: []string{person, key.ID, "nobody"}, Operators: []string{"Móvil, S.A.", "Digi"},
		SIMs: []queue.RouteSIM{{ICCID: b.iccid(1), Weight: 3}}})
	require.NoError(t, err)

	at := routeAddress(added.ID)
	page := string(b.browse("GET", at, cookie, nil).body)
	require.Contains(t, page, "Tienda (ya no se usa)")
	require.Contains(t, page, people[0].Name+" (persona)")
	require.Contains(t, page, `value="`+offered.ID+`"`)
	require.Contains(t, string(b.browse("GET", "/rules", cookie, nil).body), "Tienda (ya no se usa)", "the list names them too")
	form := shown(t, page, at)
	form.Set("name", "Avisos de Ana")
	require.Equal(t, 303, b.browse("POST", at, cookie, form).StatusCode)
	got, err := b.s.store.Route(t.Context(), added.ID)
	require.NoError(t, err)
	added.Name = "Avisos de Ana"
	require.Equal(t, added, got)

	// Two have opened it: the second to save is told, and sees what the first made.
	a := b.browse("POST", at, cookie, form)
	require.Equal(t, 409, a.StatusCode)
	require.Contains(t, string(a.body), "Alguien ha cambiado esto")
	require.Contains(t, string(a.body), `value="Avisos de Ana"`)
	form = shown(t, string(a.body), at)
	form["key"] = []string{person}
	require.Equal(t, 303, b.browse("POST", at, cookie, form).StatusCode, "from what is shown then it can be changed")
	got, err = b.s.store.Route(t.Context(), added.ID)
	require.NoError(t, err)
	require.Equal(t, []string{person}, got.Keys)
	form.Del("seen")
	form.Set("weight_"+b.iccid(1), "mucho")
	a = b.browse("POST", at, cookie, form)
	require.Equal(t, 422, a.StatusCode)
	require.Contains(t, string(a.body), "con un peso de 1 a 100")
}

func TestTheWritePageWarnsWhenNothingIsLeftForCodes(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	cookie := b.cookie(auth.RoleOperator)
	quote := func(numbers int) string {
		to := ""
		for i := range numbers {
			to += fmt.Sprintf("6551112%02d\n", i)
		}
		return string(b.browse("POST", "/write", cookie, url.Values{"to": {to}, "text": {"Corte de agua"}, "class": {"normal"}, "once": {"x"}}).body)
	}
	const none = "no queda nada para códigos y avisos"
	require.NotContains(t, quote(3), none, "without limits there always is")
	require.Equal(t, 200, b.do("PATCH", v1+"/sims/"+b.iccid(0), `{"limits":[{"window":"hour","max_segments":4}]}`).StatusCode)
	require.NotContains(t, quote(3), none)
	require.Contains(t, quote(3), "Para códigos y avisos queda 1 SMS.")
	require.Regexp(t, `<li class="bad">.*`+none, quote(4))
}

// TestTwoChangesAtOnceAreBothKept: each reads the setting, changes its part and
// writes it back.
func TestTwoChangesAtOnceAreBothKept(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	route := b.do("POST", v1+"/routes", map[string]any{"name": "x", "sims": []any{map[string]any{"sim": b.iccid(0)}}}).json(t)
	at := fmt.Sprintf("%s/routes/%v", v1, route["id"])
	for round := range 10 {
		hour, on := fmt.Sprintf("%02d:00", round), round%2 == 0
		changes := []struct{ path, body string }{
			{v1 + "/quiet-hours", fmt.Sprintf(`{"from":%q}`, hour)}, {v1 + "/quiet-hours", fmt.Sprintf(`{"sunday":%t}`, on)},
			{v1 + "/balance-settings", fmt.Sprintf(`{"to":%q}`, "1"+hour[1:])}, {v1 + "/balance-settings", fmt.Sprintf(`{"rules":[{"network":"2140%d"}]}`, round)},
			{v1 + "/canary-settings", fmt.Sprintf(`{"every_hours":%d}`, round)}, {v1 + "/canary-settings", fmt.Sprintf(`{"real_sims":%t}`, on)},
			{v1 + "/retention", fmt.Sprintf(`{"otp":{"metadata_seconds":%d}}`, 86400*(30+round))}, {v1 + "/retention", fmt.Sprintf(`{"bulk":{"metadata_seconds":%d}}`, 86400*(30+round))},
			{at, fmt.Sprintf(`{"prefixes":["+34%d"]}`, round)}, {at, fmt.Sprintf(`{"enabled":%t}`, on)},
		}
		var wg sync.WaitGroup
		for _, c := range changes {
			wg.Go(func() { require.Equal(t, 200, b.do("PATCH", c.path, c.body).StatusCode, "%s %s", c.path, c.body) })
		}
		wg.Wait()
		quiet, balance, canary := b.do("GET", v1+"/quiet-hours", nil).json(t), b.do("GET", v1+"/balance-settings", nil).json(t), b.do("GET", v1+"/canary-settings", nil).json(t)
		require.Equal(t, []any{hour, on}, []any{quiet["from"], quiet["sunday"]})
		require.Equal(t, []any{"1" + hour[1:], fmt.Sprintf("2140%d", round)}, []any{balance["to"], balance["rules"].([]any)[0].(map[string]any)["network"]})
		require.Equal(t, []any{float64(round), on}, []any{canary["every_hours"], canary["real_sims"]})
		keep := b.do("GET", v1+"/retention", nil).json(t)
		for _, class := range []string{"otp", "bulk"} {
			require.Equal(t, 86400.0*float64(30+round), keep[class].(map[string]any)["metadata_seconds"])
		}
		now := b.do("GET", at, nil).json(t)
		require.Equal(t, []any{fmt.Sprintf("+34%d", round), on}, []any{now["prefixes"].([]any)[0], now["enabled"]})
	}
}

// TestFormsThatSomebodyElseHasOvertaken: nothing is overwritten that was not seen.
func TestFormsThatSomebodyElseHasOvertaken(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	cookie, here := b.cookie(auth.RoleOperator), "/lines/"+b.iccid(0)
	for _, c := range []struct{ page, action, post, api, change, shows string }{
		{"/rules", "/rules/quiet", "/rules/quiet", v1 + "/quiet-hours", `{"from":"20:15"}`, `value="20:15"`},
		{"/rules", "/rules/canary", "/rules/canary", v1 + "/canary-settings", `{"every_hours":17}`, `value="17"`},
		{here, here + "/limits#limits", here + "/limits", v1 + "/sims/" + b.iccid(0), `{"limits":[{"window":"day","max_segments":77}]}`, `value="77"`},
		{here, here + "#edit", here, v1 + "/sims/" + b.iccid(0), `{"name":"Mostrador"}`, `value="Mostrador"`},
		{here, here + "/hours#hours", here + "/hours", v1 + "/sims/" + b.iccid(0), `{"pace":31}`, `value="31"`},
	} {
		form := shown(t, string(b.browse("GET", c.page, cookie, nil).body), c.action)
		require.NotEmpty(t, form.Get("seen"), c.action)
		require.Equal(t, 200, b.do("PATCH", c.api, c.change).StatusCode, c.change)
		a := b.browse("POST", c.post, cookie, form)
		require.Equal(t, 409, a.StatusCode, c.action)
		require.Contains(t, string(a.body), "Alguien ha cambiado esto", c.action)
		require.Contains(t, string(a.body), c.shows, c.action)
		require.Equal(t, 303, b.browse("POST", c.post, cookie, shown(t, string(a.body), c.action)).StatusCode, "%s: seen, it may be saved", c.action)
	}
}

// TestAnOvertakenFormLeavesTheNumber: a SIM's number may change by itself while its
// page is open. Who did not touch it there does not set it back.
func TestAnOvertakenFormLeavesTheNumber(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	cookie, here := b.cookie(auth.RoleOperator), "/lines/"+b.iccid(0)
	becomes := func(number string) {
		t.Helper()
		require.Equal(t, 200, b.do("PATCH", v1+"/sims/"+b.iccid(0), map[string]any{"number": number}).StatusCode)
	}
	is := func(field string) any {
		t.Helper()
		return b.do("GET", v1+"/sims/"+b.iccid(0), nil).json(t)[field]
	}
	opened := func() url.Values { return shown(t, string(b.browse("GET", here, cookie, nil).body), here+"#edit") }

	becomes("+34600000001")
	form := opened()
	becomes("+34600000002")
	form.Set("name", "Mostrador")
	require.Equal(t, 303, b.browse("POST", here, cookie, form).StatusCode)
	require.Equal(t, []any{"Mostrador", "+34600000002"}, []any{is("name"), is("number")})

	// Nor after something else was wrong in it.
	form = opened()
	becomes("+34600000003")
	form.Set("name", "a\x01b")
	a := b.browse("POST", here, cookie, form)
	require.Equal(t, 422, a.StatusCode)
	form = shown(t, string(a.body), here+"#edit")
	form.Set("name", "Registro")
	require.Equal(t, 303, b.browse("POST", here, cookie, form).StatusCode)
	require.Equal(t, []any{"Registro", "+34600000003"}, []any{is("name"), is("number")})

	// Who did touch it sees what it has become.
	form = opened()
	becomes("+34600000004")
	form.Set("number", "600000005")
	a = b.browse("POST", here, cookie, form)
	require.Equal(t, 409, a.StatusCode)
	require.Contains(t, string(a.body), "Alguien ha cambiado esto")
	form = shown(t, string(a.body), here+"#edit")
	require.Equal(t, "+34600000004", form.Get("number"))
	form.Set("number", "600000005")
	require.Equal(t, 303, b.browse("POST", here, cookie, form).StatusCode)
	require.Equal(t, "+34600000005", is("number"))

	// What is no number stays in the field, to be mended there.
	form = opened()
	form.Set("number", "12")
	a = b.browse("POST", here, cookie, form)
	require.Equal(t, 422, a.StatusCode)
	form = shown(t, string(a.body), here+"#edit")
	require.Equal(t, "12", form.Get("number"))
	form.Set("number", "")
	require.Equal(t, 303, b.browse("POST", here, cookie, form).StatusCode)
	require.NotEqual(t, "+34600000005", is("number"), "it is the SIM's own again")
}

// TestWhyASIMIsOutOfHoursIsSaidInWords: to each in their language, with the day as they
// write it.
func TestWhyASIMIsOutOfHoursIsSaidInWords(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	cookie, here := b.cookie(auth.RoleOperator), "/lines/"+b.iccid(0)
	page := func(path, language string) string {
		t.Helper()
		require.Equal(t, 303, b.browse("POST", "/preferences", cookie, url.Values{"lang": {language}}).StatusCode)
		text := string(b.browse("GET", path, cookie, nil).body)
		require.NotContains(t, text, localeOf(t, language).t("said.unknown"), path)
		return html.UnescapeString(text)
	}
	now := time.Now().Add(time.Hour).Local()
	tomorrow := now.AddDate(0, 0, 1)
	window := fmt.Sprintf(`{"send_window":{"from":"10:00","to":"11:30","days":[%q]}}`, strings.ToLower(tomorrow.Weekday().String()[:3]))
	require.Equal(t, 200, b.do("PATCH", v1+"/sims/"+b.iccid(0), window).StatusCode)
	for _, path := range []string{here, "/lines"} {
		require.Contains(t, page(path, "es"), fmt.Sprintf("No son las horas en que puede enviar: empiezan el %d %s, 10:00.", tomorrow.Day(), localeOf(t, "es").months[tomorrow.Month()-1]))
		require.Contains(t, page(path, "en"), fmt.Sprintf("These are not the hours in which it may send: they begin on %d %s, 10:00.", tomorrow.Day(), localeOf(t, "en").months[tomorrow.Month()-1]))
	}
	b.clock.mu.Lock()
	b.clock.doubts = true
	b.clock.mu.Unlock()
	for _, path := range []string{here, "/lines"} {
		require.Contains(t, page(path, "es"), "No se sabe con certeza qué hora es")
		require.Contains(t, page(path, "en"), "The time of day is not certain")
	}
}
