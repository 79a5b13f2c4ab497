package console

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const sick = `{"at":"2026-11-22T18:00:00Z","version":"1.2.3","host":"caja","running":"answers","pid":7,"status":"fail","blocks":[
	{"name":"recado","about":"en marcha (proceso 7)","status":"ok","findings":[]},
	{"name":"/dev/ttyUSB2","about":"EC25, Movistar","status":"fail","findings":[
		{"code":"sim_pin","severity":"fail","subject":"sim","says":"La SIM del módem de /dev/ttyUSB2 pide su PIN (intentos que quedan: 3).",
		"do":"Introdúzcalo: recado console -c 'pin /dev/ttyUSB2'. Recado nunca prueba uno al azar, y esto es largo."}]}]}`

func TestDoctorOnTheConsole(t *testing.T) {
	box := twoModems(t)
	box.answers["GET /control/doctor?lang=es"] = sick
	box.answers["GET /control/doctor?lang=en"] = sick
	var out strings.Builder
	require.NoError(t, New(Options{API: box, Language: "es_ES"}).Exec(t.Context(), "doctor", &out))
	require.Regexp(t, `(?m)^Recado 1\.2\.3 en caja, `, out.String())
	require.Regexp(t, `(?m)^Fuera de servicio: 1\. Por mirar: 0\.$`, out.String())
	require.Regexp(t, `(?m)^ok    recado        en marcha`, out.String())
	require.Regexp(t, `(?m)^fail  /dev/ttyUSB2  EC25, Movistar$`, out.String())
	require.Regexp(t, `(?m)^      fail  La SIM`, out.String())
	require.Regexp(t, `(?m)^            -> Introdúzcalo`, out.String())
	require.Regexp(t, `(?m)^               \S`, out.String(), "what does not fit goes on below")
	for line := range strings.Lines(out.String()) {
		require.LessOrEqual(t, len([]rune(strings.TrimRight(line, "\n"))), 79, line)
	}
	out.Reset()
	require.NoError(t, New(Options{API: box, ASCII: true}).Exec(t.Context(), "doctor", &out))
	for _, r := range out.String() {
		require.Less(t, r, rune(0x80))
	}
	require.Contains(t, out.String(), "Out of order: 1.")
}

func TestReportsStatus(t *testing.T) {
	r := Report{Blocks: []Block{{Name: "a"}, {Name: "b", Findings: []Finding{{Severity: "info"}, {Severity: "warn"}}}, {Name: "c", Findings: []Finding{{Severity: "info"}}}}}
	r.Settle()
	require.Equal(t, []string{Warn, OK, Warn, OK}, []string{r.Status, r.Blocks[0].Status, r.Blocks[1].Status, r.Blocks[2].Status})
	require.NotNil(t, r.Blocks[0].Findings, "[] in JSON")
	var out strings.Builder
	require.NoError(t, Report{Blocks: r.Blocks[:1]}.Write(&out, English, 80))
	require.Contains(t, out.String(), "All is well.")
}

func TestWrap(t *testing.T) {
	var b strings.Builder
	wrap(&b, "  one two three "+strings.Repeat("x", 30)+" four", 4, 12)
	require.Equal(t, "  one two\n    three\n    "+strings.Repeat("x", 30)+"\n    four\n", b.String())
}
