package console

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEveryMenuItemHasAScriptableTwin(t *testing.T) {
	for _, row := range []struct {
		command string
		secret  string
		shows   []string // all of them
		asks    string   // the request that changes something
	}{
		{command: "status", shows: []string{"1.2.3", "Lines ready                       6", "queued: 7", "1/20/300", "Uncertain                         5", "2 MB",
			"Held                              6 (held list)", "trusted (ntp)", "Storage                           low: make room", "Paused beside                     bulk, 8934"}},
		{command: "held", shows: []string{"restored  otp    2", "late      bulk   4"}},
		{command: "held release restored", shows: []string{"Done: 2. Still held: 4."}, asks: `POST /api/v1/held/release {"reason":"restored"}`},
		{command: "held release restored otp", shows: []string{"Done: 2."}, asks: `POST /api/v1/held/release {"class":"otp","reason":"restored"}`},
		{command: "held release otp restored", shows: []string{"Done: 2."}, asks: `POST /api/v1/held/release {"class":"otp","reason":"restored"}`},
		{command: "held discard BULK all", shows: []string{"Done: 6."}, asks: `POST /api/v1/held/discard {"all":true,"class":"bulk"}`},
		{command: "held discard all", shows: []string{"Done: 6. Still held: 0."}, asks: `POST /api/v1/held/discard {"all":true}`},
		{command: "uncertain list", shows: []string{"0194", "*********222", "no_answer", "There are more."}},
		{command: "uncertain resolve 0194 mark_sent", shows: []string{"Done. sent"}, asks: `POST /api/v1/messages/0194/resolve {"action":"mark_sent"}`},
		{command: "clock", shows: []string{"trusted        no", "nobody vouches", "hold, 15m0s"}},
		{command: "clock trust", shows: []string{"trusted        yes", "operator"}, asks: "POST /api/v1/clock/trust {}"},
		{command: "clock trust 2026-11-22T13:00:00+01:00", shows: []string{"operator"}, asks: `POST /api/v1/clock/trust {"now":"2026-11-22T12:00:00Z"}`},
		{command: "clock trust --sure 2027-11-22T13:00:00+01:00", shows: []string{"operator"}, asks: `POST /api/v1/clock/trust {"now":"2027-11-22T12:00:00Z","sure":true}`},
		{command: "clock trust --sure", shows: []string{"operator"}, asks: `POST /api/v1/clock/trust {"sure":true}`},
		{command: "backup", shows: []string{"no room", "20261122-110000.age", "3"}},
		{command: "backup now", shows: []string{"Done."}, asks: "POST /api/v1/backups"},
		{command: "lines", shows: []string{"Cita", "Movistar", "-71 dBm", "ready", "42"}},
		{command: "modem list", shows: []string{"860000000000017", "locked", "held by smsd (PID 12): stop it"}},
		{command: "modem show 1", shows: []string{"EC25", "893400000000000001"}},
		{command: "modem show /dev/ttyUSB9", shows: []string{"locked"}},
		{command: "modem restart 1", shows: []string{"Done."}, asks: "POST /api/v1/modems/860000000000017/restart"},
		{command: "modem trace 1 1", shows: []string{"< +CSQ: 21,99"}},
		{command: "sim list", shows: []string{"Cita", "Otra", "unavailable"}},
		{command: "sim show cita", shows: []string{"+34600000000"}},
		{command: `sim name Cita "Avisos del padrón"`, shows: []string{"Done."}, asks: `PATCH /api/v1/sims/893400000000000001 {"name":"Avisos del padrón"}`},
		{command: "sim disable 1", shows: []string{"Done."}, asks: `PATCH /api/v1/sims/893400000000000001 {"enabled":false}`},
		{command: "sim enable 893400000000000001", shows: []string{"Done."}, asks: `PATCH /api/v1/sims/893400000000000001 {"enabled":true}`},
		{command: "pin 1", secret: "1234\n", shows: []string{"Done."}, asks: `POST /control/modems/860000000000017/pin {"pin":"1234"}`},
		{command: "puk 1", secret: "12345678\n4829\n", shows: []string{"Done."}, asks: `POST /api/v1/modems/860000000000017/puk {"new_pin":"4829","puk":"12345678"}`},
		{command: "sim forget-pin Cita", shows: []string{"Done."}, asks: "DELETE /api/v1/sims/893400000000000001/pin"},
		{command: "modem power 1", shows: []string{"Done."}, asks: "POST /api/v1/modems/860000000000017/power"},
		{command: "modem history 1", shows: []string{"step L3  module restart: the modem is mute\n", "state    ready\n"}},
		{command: "send 600111222 Mañana a las 9", shows: []string{"Accepted: 0193, queued."}, asks: `POST /api/v1/messages {"text":"Mañana a las 9","to":"600111222"}`},
		{command: "queue", shows: []string{"queued", "*********222"}},
		{command: "pause", shows: []string{"Done."}, asks: "POST /api/v1/sending/pause"},
		{command: "resume", shows: []string{"Done."}, asks: "POST /api/v1/sending/resume"},
		{command: "pause BULK", shows: []string{"Done."}, asks: `POST /api/v1/sending/pause {"class":"bulk"}`},
		{command: "pause cita", shows: []string{"Done."}, asks: `POST /api/v1/sending/pause {"sim":"893400000000000001"}`},
		{command: "resume 1", shows: []string{"Done."}, asks: `POST /api/v1/sending/resume {"sim":"893400000000000001"}`},
		{command: "sim limits cita", shows: []string{"12/500", "7/-", "3/300", "it is new: today 50 SMS hold", "bulk leaves 20 % of each", "day 15"}},
		{command: "sim limits cita day=400/50 hour=0 reserve=10", shows: []string{"Done."},
			asks: `PATCH /api/v1/sims/893400000000000001 {"limits":[{"max_recipients":50,"max_segments":400,"window":"day"},{"max_recipients":300,"window":"month"}],"reserve_percent":10}`},
		{command: "sim limits cita default", shows: []string{"Done."}, asks: `PATCH /api/v1/sims/893400000000000001 {"limits":null}`},
		{command: "sim balance cita", shows: []string{"12.34 EUR", "Su saldo es 12,34"}, asks: "POST /api/v1/sims/893400000000000001/balance"},
		{command: "sim test cita", shows: []string{"…0001", "…0002", "it arrived"}, asks: "POST /api/v1/sims/893400000000000001/canary"},
		{command: "password jefa", secret: "una larga y buena\r\n", shows: []string{"Done."}, asks: `POST /control/users/jefa/password {"password":"una larga y buena"}`},
		{command: "lang es", shows: []string{"Español."}},
		{command: "help", shows: []string{"modem trace MODEM [LINES]", "password PERSON"}},
		{command: "quit"},
	} {
		t.Run(row.command, func(t *testing.T) {
			box := twoModems(t)
			var out strings.Builder
			err := New(Options{API: box, Secrets: strings.NewReader(row.secret)}).Exec(t.Context(), row.command, &out)
			require.NoError(t, err)
			for _, text := range row.shows {
				require.Contains(t, out.String(), text)
			}
			if row.asks == "" {
				require.Empty(t, box.wasAsked())
			} else {
				require.Equal(t, []string{row.asks}, box.wasAsked())
			}
			require.NotContains(t, out.String(), "SECRETO", "the console shows no message's text")
			require.NotContains(t, out.String(), "600111222", "a number is masked")
		})
	}
}

func TestExecRefusesWhatItCannotDo(t *testing.T) {
	for _, row := range []struct{ command, says string }{
		{"frobnicate", `no command "frobnicate"`},
		{"", "no command"},
		{"modem restart", "use: modem restart MODEM"},
		{"modem restart 1 2", "use: modem restart MODEM"},
		{"modem trace 1 none", "use: modem trace MODEM [LINES]"},
		{"modem history 1 none", "use: modem history MODEM [LINES]"},
		{"puk 1", "type the PUK and the new PIN"},
		{"send 600111222", "use: send TO TEXT"},
		{"held release", "use: held release REASON|all [CLASS]"},
		{"held release otp", "use: held release REASON|all [CLASS]; name a reason, or all; held now: restored otp, late bulk"},
		{"held release restored late", "use: held release REASON|all [CLASS]"},
		{"held discard otp bulk", "use: held discard REASON|all [CLASS]"},
		{"uncertain resolve 0194", "use: uncertain resolve ID"},
		{"uncertain resolve 0194 forget", "use: uncertain resolve ID resend|mark_sent|mark_failed"},
		{"clock trust tomorrow", "type the time as"},
		{"clock trust 2027-11-22T12:00:00Z", "the last time known here"},
		{"clock trust 2027-11-22T12:00:00Z", "clock trust --sure TIME"},
		{"lang fr", "languages: es, en"},
		{"password jefa", "type the password"},
		{"sim limits cita year=5", "use: sim limits SIM"},
		{"sim limits cita day=many", "use: sim limits SIM"},
		{"sim limits cita reserve=x", "use: sim limits SIM"},
	} {
		t.Run(row.command, func(t *testing.T) {
			box := twoModems(t)
			err := New(Options{API: box, Secrets: strings.NewReader("")}).Exec(t.Context(), row.command, &strings.Builder{})
			var usage *UsageError
			require.ErrorAs(t, err, &usage)
			require.ErrorContains(t, err, row.says)
			require.Empty(t, box.wasAsked())
		})
	}
}

func TestExecSaysWhatTheApplianceSays(t *testing.T) {
	box := twoModems(t)
	box.answers["POST /api/v1/messages"] = errors.New("to: this is no number")
	err := New(Options{API: box}).Exec(t.Context(), "send x hello", &strings.Builder{})
	require.EqualError(t, err, "to: this is no number")
}

// A large number is worked off in several requests; what is not held is not asked for.
func TestHeldInParts(t *testing.T) {
	box := twoModems(t)
	parts := []int{3, 1}
	box.answers["POST /api/v1/held/discard"] = func() string {
		n := parts[0]
		parts = parts[1:]
		return fmt.Sprintf(`{"done":%d,"left":2}`, n)
	}
	var out strings.Builder
	require.NoError(t, New(Options{API: box}).Exec(t.Context(), "held discard late", &out))
	require.Equal(t, "Done: 4. Still held: 2.\n", out.String())
	require.Len(t, box.wasAsked(), 2)
	require.EqualError(t, New(Options{API: box}).Exec(t.Context(), "held discard late otp", &out), "nothing of that is held; held now: restored otp, late bulk")
	require.Len(t, box.wasAsked(), 2)
}

func TestATimeIsTheBoxsWithoutAZone(t *testing.T) {
	at, err := typedTime("2026-11-30 09:15")
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 11, 30, 9, 15, 0, 0, time.Local), at)
}

func TestWithoutADaemonNothingIsAskedOfModems(t *testing.T) {
	box := twoModems(t)
	box.alone = true
	for _, command := range []string{"lines", "modem list", "modem restart 1", "modem trace 1", "sim list", "pin 1", "puk 1", "sim forget-pin 1", "modem history 1", "modem power 1", "log", "clock trust", "backup list", "backup now"} {
		err := New(Options{API: box, Secrets: strings.NewReader("1234\n")}).Exec(t.Context(), command, &strings.Builder{})
		require.ErrorContains(t, err, "recado is not running", command)
	}
	require.Empty(t, box.wasAsked())
	var out strings.Builder
	require.NoError(t, New(Options{API: box}).Exec(t.Context(), "status", &out))
	require.Contains(t, out.String(), "recado is not running")
}

func TestControlCharactersOfAModemDoNotReachTheTerminal(t *testing.T) {
	box := twoModems(t)
	box.answers["GET /control/modems/860000000000017/trace"] =
		`[{"at":"2026-11-01T10:00:00Z","out":false,"line":"\u001b[2J\u0007evil\r\n"}]`
	var out strings.Builder
	require.NoError(t, New(Options{API: box}).Exec(t.Context(), "modem trace 1", &out))
	require.Contains(t, out.String(), ".[2J.evil.")
	require.NotContains(t, out.String(), "\x1b")
}

func TestASCIITerminalGetsASCII(t *testing.T) {
	box := twoModems(t)
	box.answers["GET /api/v1/sims?limit=500"] = `{"items":[{"iccid":"1","name":"Ñandú 😀","state":"ready","modem":"x"}]}`
	var out strings.Builder
	require.NoError(t, New(Options{API: box, Language: Spanish, ASCII: true}).Exec(t.Context(), "sim list", &out))
	require.Contains(t, out.String(), "Nandu ?")
	require.Contains(t, out.String(), "NUMERO")
	for _, r := range out.String() {
		require.Less(t, r, rune(0x80))
	}
}

func TestEveryTextIsInBothLanguages(t *testing.T) {
	for key, w := range words {
		require.NotEmpty(t, w.en, key)
		require.NotEmpty(t, w.es, key)
		require.Equal(t, strings.Count(w.en, "%"), strings.Count(w.es, "%"), "%s takes the same values in both", key)
	}
	for _, c := range commands() {
		require.Contains(t, words, c.help, c.name)
		for _, a := range c.args {
			if !a.optional {
				require.Contains(t, words, a.prompt, c.name)
			}
		}
	}
}

func TestMenuFitsAnOldTerminal(t *testing.T) {
	for _, language := range []string{English, Spanish} {
		var out strings.Builder
		s := &session{Console: New(Options{API: twoModems(t)}), ctx: t.Context(), out: &out, language: language}
		s.banner()
		s.menu()
		lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
		require.Less(t, len(lines), 24, "banner, menu and prompt")
		for _, line := range lines {
			require.LessOrEqual(t, len([]rune(line)), 80, line)
			require.False(t, strings.HasSuffix(line, "~"), "nothing is cut: %s", line)
		}
	}
}

func TestFind(t *testing.T) {
	for _, row := range []struct {
		line, name string
		args       []string
	}{
		{"1", "status", nil},
		{" STATUS ", "status", nil},
		{"modem", "modem list", nil},
		{"Modem  Show   1", "modem show", []string{"1"}},
		{"?", "help", nil},
		{"send 600 a  b 'c'", "send", []string{"600", "a  b 'c'"}},
		{`send 600 "a  b"`, "send", []string{"600", "a  b"}},
		{`sim name "Sala dos" 'La de abajo'`, "sim name", []string{"Sala dos", "La de abajo"}},
		{`modem show "unclosed`, "modem show", []string{`"unclosed`}},
	} {
		c, args, ok := find(row.line)
		require.True(t, ok, row.line)
		require.Equal(t, row.name, c.name, row.line)
		require.Equal(t, row.args, args, row.line)
	}
}

func FuzzFind(f *testing.F) {
	for _, line := range []string{"", "1", "22 x", `send 6 "`, "modem show '", "\x00", "sim name ñ ''"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, args, ok := find(line)
		if ok && c.run == nil {
			t.Fatalf("%q found a command without an action", line)
		}
		if c.rest && len(args) > len(c.args) {
			t.Fatalf("%q: %d arguments for %q", line, len(args), c.usage())
		}
	})
}

// TestSpanishIsSpokenThroughout: labels, states and what stands for an argument; the
// words that commands take stay as they are.
func TestSpanishIsSpokenThroughout(t *testing.T) {
	for command, shows := range map[string][]string{
		"status":                           {"en cola: 7", "6 (véalos con held list)", "queda poco sitio: make room"},
		"backup":                           {"última copia   11-22", "en pausa       sí", "error          no room"},
		"modem show 1":                     {"modelo         EC25", "puerto         /dev/ttyUSB2", "estado         lista", "reinicios      0"},
		"sim show cita":                    {"centro de SMS ", "estado             lista", "fallos recientes   0"},
		"modem list":                       {"lo usa otro programa"},
		"modem history 1":                  {"paso L3  module restart", "estado   ready"},
		"sim list":                         {"no disponible"},
		"queue":                            {"en cola", "retenido", "enviado"},
		"held":                             {"restored (de una copia)  otp", "late (se pasó la hora)   bulk"},
		"uncertain resolve 0194 mark_sent": {"Hecho. enviado"},
		"help":                             {"modem trace MÓDEM [LÍNEAS]", "send NÚMERO TEXTO", "held release MOTIVO|all [CLASE]", "sim name SIM NOMBRE", "password PERSONA"},
	} {
		var out strings.Builder
		require.NoError(t, New(Options{API: twoModems(t), Language: Spanish}).Exec(t.Context(), command, &out))
		for _, text := range shows {
			require.Contains(t, out.String(), text, command)
		}
	}
	err := New(Options{API: twoModems(t), Language: Spanish}).Exec(t.Context(), "held release otp", &strings.Builder{})
	require.EqualError(t, err, "uso: held release MOTIVO|all [CLASE]; diga un motivo, o all (todos); ahora lo está: restored otp, late bulk")
	for name, w := range words {
		require.NotEmpty(t, w.es, name)
	}
}
