package webui

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/webui/auth"
)

func TestCodesOfOnesOwnForTheBalance(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	admin, operator := b.cookie(auth.RoleAdmin), b.cookie(auth.RoleOperator)
	rules := func() []queue.CreditRule { return b.pool.CreditSettings().Rules }
	require.Contains(t, string(b.browse("GET", "/rules", operator, nil).body), `href="/rules/balance"`)
	page := string(b.browse("GET", "/rules/balance", operator, nil).body)
	require.Contains(t, page, "Movistar")
	require.NotContains(t, page, `action="/rules/balance`)
	for _, deed := range []string{"", "/rule", "/rule/delete", "/confirm"} {
		require.Equal(t, 403, b.browse("POST", "/rules/balance"+deed, operator, url.Values{}).StatusCode, deed)
	}

	// From a SIM's page, with what its network said last.
	require.Equal(t, 200, b.do("POST", v1+"/sims/"+b.iccid(0)+"/balance", nil).StatusCode)
	here := "/rules/balance?sim=" + b.iccid(0)
	require.Contains(t, string(b.browse("GET", "/lines/"+b.iccid(0), admin, nil).body), here)
	page = string(b.browse("GET", here, admin, nil).body)
	require.Contains(t, page, "Su saldo es 12,34 EUR.</textarea>")
	form := shown(t, page, "/rules/balance/rule#rule")
	require.Equal(t, "sim", form.Get("for"))
	require.Equal(t, "*123#", form.Get("code"))
	form.Set("sim", b.iccid(0))
	form.Set("answer", "Bono 5,00 EUR. Saldo principal: 1,50 EUR")
	form.Set("try", "1")
	require.Contains(t, string(b.browse("POST", "/rules/balance/rule", admin, form).body), "El saldo sería 1,50 €.")
	form.Set("pattern", `Bono (?P<amount>[0-9,]+)`)
	require.Contains(t, string(b.browse("POST", "/rules/balance/rule", admin, form).body), "El saldo sería 5,00 €.")
	form.Set("answer", "Gracias")
	require.Contains(t, string(b.browse("POST", "/rules/balance/rule", admin, form).body), "no dice ninguna cantidad")
	// It reads as the box will: who gives a pattern wants no guess.
	form.Set("answer", "Su saldo es 5,20 EUR")
	form.Set("pattern", `saldo principal: (?P<amount>[0-9,]+)`)
	a := b.browse("POST", "/rules/balance/rule", admin, form)
	require.Contains(t, string(a.body), "no dice ninguna cantidad")
	require.NotContains(t, string(a.body), "5,20 €")
	// What is wrong with a pattern is said in the reader's language alone, tried or kept.
	for pattern, says := range map[string]string{
		`Bono ([0-9,]+)`: "le falta un grupo llamado amount", `Bono (?P<amount>`: "está mal escrito", strings.Repeat("x", 501): "está mal escrito",
	} {
		for _, try := range []string{"1", ""} {
			form.Set("pattern", pattern)
			form.Set("try", try)
			a := b.browse("POST", "/rules/balance/rule", admin, form)
			require.Equal(t, 422, a.StatusCode)
			require.Contains(t, string(a.body), says)
			require.NotContains(t, string(a.body), "the pattern")
			require.NotContains(t, string(a.body), "error parsing")
		}
	}
	require.Empty(t, rules(), "what is tried is not kept")
	form.Del("try")
	form.Set("pattern", "")
	require.Equal(t, 303, b.browse("POST", "/rules/balance/rule", admin, form).StatusCode)
	require.Equal(t, []queue.CreditRule{{SIM: b.iccid(0), Code: "*123#"}}, rules())

	// Another, and mistakes: what was typed is kept.
	form = shown(t, string(b.browse("GET", "/rules/balance", admin, nil).body), "/rules/balance/rule#rule")
	require.Empty(t, form.Get("n"), "a new one")
	form.Set("sim", b.iccid(0))
	form.Set("code", "*111#")
	a = b.browse("POST", "/rules/balance/rule", admin, form)
	require.Equal(t, 422, a.StatusCode)
	require.Contains(t, string(a.body), "Ya hay un código para estas SIM")
	form.Set("for", "network")
	for field, bad := range map[string]string{"network": "móvil", "code": "**21*600111222#", "currency": "euro", "reply": "*1#"} {
		wrong := url.Values{}
		for k, v := range form {
			wrong[k] = v
		}
		wrong.Set("network", "21407")
		wrong.Set(field, bad)
		a := b.browse("POST", "/rules/balance/rule", admin, wrong)
		require.Equal(t, 422, a.StatusCode, field)
		require.Contains(t, string(a.body), `role="alert"`, field)
		require.Contains(t, string(a.body), `value="`+bad+`"`, field)
	}
	form.Set("network", "21407")
	form.Set("reply", "1")
	require.Equal(t, 303, b.browse("POST", "/rules/balance/rule", admin, form).StatusCode)
	require.Equal(t, queue.CreditRule{Network: "21407", Code: "*111#", Reply: "1"}, rules()[1])
	require.Equal(t, 409, b.browse("POST", "/rules/balance/rule", admin, form).StatusCode, "the same form again: there is more by now")

	// Changed in its place, and taken away.
	page = string(b.browse("GET", "/rules/balance?rule=1", admin, nil).body)
	form = shown(t, page, "/rules/balance/rule#rule")
	require.Equal(t, []string{"1", "network", "21407", "1"}, []string{form.Get("n"), form.Get("for"), form.Get("network"), form.Get("reply")})
	form.Set("code", "")
	form.Set("reply", "")
	require.Equal(t, 303, b.browse("POST", "/rules/balance/rule", admin, form).StatusCode)
	page = string(b.browse("GET", "/rules/balance", admin, nil).body)
	require.Contains(t, page, "red 21407</span> <span class=\"row-text\">no se pregunta nunca")
	gone := shown(t, page, "/rules/balance/rule/delete")
	require.Equal(t, "0", gone.Get("n"))
	require.Equal(t, 303, b.browse("POST", "/rules/balance/rule/delete", admin, gone).StatusCode)
	require.Equal(t, 409, b.browse("POST", "/rules/balance/rule/delete", admin, gone).StatusCode, "a double click takes one away")
	require.Equal(t, []queue.CreditRule{{Network: "21407"}}, rules())
	require.Contains(t, string(b.browse("GET", "/lines/"+b.iccid(0), admin, nil).body), "<dd>no se pregunta nunca</dd>", "it is of that network")

	// When, and whether what is shipped works.
	when := shown(t, string(b.browse("GET", "/rules/balance", admin, nil).body), "/rules/balance")
	require.Equal(t, []string{"confirmed", "03:30", "06:00"}, []string{when.Get("check"), when.Get("from"), when.Get("to")})
	when.Set("check", "always")
	when.Set("to", "03:30")
	require.Equal(t, 422, b.browse("POST", "/rules/balance", admin, when).StatusCode)
	when.Set("to", "05:00")
	require.Equal(t, 303, b.browse("POST", "/rules/balance", admin, when).StatusCode)
	set := b.pool.CreditSettings()
	require.Equal(t, []any{"always", 210, 300}, []any{set.Check, set.From, set.To})
	require.Len(t, set.Rules, 1, "the rest stays")
	require.Equal(t, 303, b.browse("POST", "/rules/balance/confirm", admin, url.Values{"operator": {"Digi"}, "works": {"1"}}).StatusCode)
	require.Contains(t, string(b.browse("GET", "/rules/balance", admin, nil).body), `Marcar que no funciona<span class="vh"> Digi`)
	require.Equal(t, 303, b.browse("POST", "/rules/balance/confirm", admin, url.Values{"operator": {"Digi"}}).StatusCode)
	require.Empty(t, b.pool.CreditSettings().Confirmed)
	require.Equal(t, 422, b.browse("POST", "/rules/balance/confirm", admin, url.Values{"operator": {"Nobody"}, "works": {"1"}}).StatusCode)

	p := b.problem(b.do("PATCH", v1+"/balance-settings", map[string]any{"check": "never", "confirm": "Nobody"}), 422, "invalid")
	require.Equal(t, "body.confirm", p.Errors[0].Location)
	require.Equal(t, "always", b.pool.CreditSettings().Check, "of a request that is refused nothing is changed")
}
