package pool

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/tty"
	"recado/queue"
)

// well is a line of which there is nothing to say.
func well(now time.Time) vitals {
	return vitals{
		now: now, port: "/dev/ttyUSB2",
		snap: modem.Snapshot{
			ID: "860000000000017", State: modem.StateReady, Since: now.Add(-time.Hour), Registration: "home",
			AccessTechnology: "E-UTRAN", ReportsBy: 1, StorageName: "SM", StorageUsed: 2, StorageTotal: 20,
			SIM:    modem.SIM{ICCID: "8934000000000000001", SMSC: "+34600000000", State: "READY", PINTries: 3},
			Signal: modem.Signal{Known: true, RSSI: -71},
		},
		sim:     SIM{ICCID: "8934000000000000001", State: SIMReady},
		domains: modem.Domains{CS: "home", EPS: "home"},
	}
}

func TestFindings(t *testing.T) {
	now := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	require.Empty(t, well(now).findings(), "all is well")
	state := func(s modem.State, since time.Duration, reason string) func(*vitals) {
		return func(v *vitals) {
			v.snap.State, v.snap.Since, v.snap.Reason = s, now.Add(-since), reason
		}
	}
	sim := func(s modem.State, word string, tries int) func(*vitals) {
		return func(v *vitals) {
			v.snap.State, v.snap.SIM.State, v.snap.SIM.PINTries = s, word, tries
		}
	}
	memory := func(used, foreign int) func(*vitals) {
		return func(v *vitals) { v.snap.StorageUsed, v.snap.StorageForeign = used, foreign }
	}
	send := func(text string, n int) func(*vitals) {
		return func(v *vitals) {
			for range n {
				v.history = append(v.history, modem.Entry{At: now.Add(-time.Minute), Kind: modem.EntrySend, Text: text})
			}
		}
	}
	busy := &tty.BusyError{Name: "/dev/ttyUSB2", PID: 12, Program: "smsd"}
	for name, row := range map[string]struct {
		ill  func(*vitals)
		want string // "severity code fact=value …" by order
	}{
		"unplugged":           {state(modem.StateAbsent, time.Hour, ""), "fail port_absent"},
		"just unplugged":      {state(modem.StateAbsent, time.Second, ""), "warn port_absent"},
		"no server":           {func(v *vitals) { v.port, v.snap.State = "tcp:10.0.0.1:7", modem.StateAbsent }, "fail port_unreachable"},
		"held":                {state(modem.StateLocked, 0, busy.Error()+": stop that program"), "fail port_busy program=smsd pid=12"},
		"held by a number":    {state(modem.StateLocked, 0, (&tty.BusyError{Name: "x", PID: 12}).Error()), "fail port_busy pid=12"},
		"held by nobody":      {state(modem.StateLocked, 0, (&tty.BusyError{Name: "x"}).Error()), "fail port_busy"},
		"no permission":       {state(modem.StateFault, 0, "open port x: "+tty.ErrPermission.Error()+": /dev/ttyUSB2 is for group dialout; add this user to it"), "fail port_permission group=dialout"},
		"closed folder":       {state(modem.StateFault, 0, "open port x: "+tty.ErrPermission.Error()+": a folder of x is closed to this user"), "fail port_permission"},
		"a file":              {state(modem.StateFault, 0, "open port x: "+tty.ErrNotTTY.Error()), "fail port_not_tty"},
		"no name":             {state(modem.StateFault, 0, "open port x: "+tty.ErrName.Error()), "fail port_name"},
		"no modem":            {state(modem.StateFault, 0, "nothing on this port answers AT: it is no modem, or the wrong one of a modem's ports"), "fail port_silent"},
		"text mode":           {state(modem.StateFault, 0, "the modem knows only text mode (AT+CMGF=0 is refused): it cannot be used"), "fail modem_text_mode"},
		"out of order":        {state(modem.StateFault, 0, "the modem does not answer any more"), "fail modem_fault"},
		"silent":              {state(modem.StateRecover, 0, "the modem fell silent: the port is opened anew"), "fail modem_mute"},
		"silent, looked for":  {state(modem.StateSync, 0, "the modem fell silent: the port is opened anew"), "fail modem_mute"},
		"recovering":          {state(modem.StateRecover, time.Hour, "restarting"), "warn modem_recovering minutes=60"},
		"recovering quickly":  {state(modem.StateRecover, time.Second, "restarting"), ""},
		"slow":                {state(modem.StateIdent, 3*time.Minute, ""), "warn modem_slow state=identifying"},
		"starting":            {state(modem.StateIdent, time.Second, ""), ""},
		"switched off":        {state(modem.StateDisabled, 0, ""), "info modem_disabled"},
		"no SIM":              {sim(modem.StateNoSIM, "NOT INSERTED", -1), "fail sim_absent"},
		"failed SIM":          {sim(modem.StateNoSIM, "FAILURE", -1), "fail sim_failure"},
		"SIM busy for ever":   {sim(modem.StateNoSIM, "BUSY", -1), "fail sim_busy"},
		"SIM busy for long":   {func(v *vitals) { sim(modem.StateSIM, "BUSY", -1)(v); v.snap.Since = now.Add(-3 * time.Minute) }, "warn sim_busy minutes=3"},
		"PIN":                 {sim(modem.StateSIMBlocked, "SIM PIN", 3), "fail sim_pin tries=3"},
		"PIN, tries unknown":  {sim(modem.StateSIMBlocked, "SIM PIN", -1), "fail sim_pin"},
		"PIN, last try":       {sim(modem.StateSIMBlocked, "SIM PIN", 1), "fail sim_pin_last tries=1"},
		"PUK":                 {sim(modem.StateSIMBlocked, "SIM PUK", 0), "fail sim_puk"},
		"network lock":        {sim(modem.StateSIMBlocked, "PH-NET PIN", -1), "fail sim_locked lock=PH-NET PIN"},
		"wrong SIM":           {sim(modem.StateSIMBlocked, "WRONG", -1), "fail sim_locked"},
		"blocked somehow":     {sim(modem.StateSIMBlocked, "", -1), "fail sim_blocked"},
		"twin":                {func(v *vitals) { v.twin = "/dev/ttyUSB3" }, "info sim_twin other=/dev/ttyUSB3"},
		"twin with PIN":       {func(v *vitals) { sim(modem.StateSIMBlocked, "SIM PIN", 3)(v); v.twin = "/dev/ttyUSB3" }, "info sim_twin"},
		"denied":              {state(modem.StateSIMDenied, time.Hour, ""), "fail registration_denied"},
		"searching":           {state(modem.StateRegister, time.Hour, ""), "fail registration_searching minutes=60"},
		"searching a moment":  {state(modem.StateRegister, time.Second, ""), ""},
		"emergency only":      {func(v *vitals) { state(modem.StateRegister, 0, "")(v); v.domains.CS = "emergency" }, "fail registration_emergency"},
		"ready in emergency":  {func(v *vitals) { v.domains = modem.Domains{CS: "emergency"} }, "fail registration_emergency"},
		"LTE only":            {func(v *vitals) { v.domains.CS = "not_registered" }, "info lte_only"},
		"LTE only, it sends":  {func(v *vitals) { v.domains.CS, v.sent = "not_registered", true }, ""},
		"LTE, nothing leaves": {func(v *vitals) { v.domains.CS, v.snap.AmbiguousRecent = "searching", 2 }, "fail lte_without_sms technology=E-UTRAN, warn answers_lost count=2"},
		"alarm":               {func(v *vitals) { v.snap.Alarm = modem.AlarmNoSMSService }, "fail lte_without_sms"},
		"2G":                  {func(v *vitals) { v.domains.EPS, v.snap.AccessTechnology = "refused", "GSM" }, "info network_2g3g_only technology=GSM"},
		"weak":                {func(v *vitals) { v.snap.Signal.RSSI = -107 }, "warn signal_weak dbm=-107"},
		"signal unknown":      {func(v *vitals) { v.snap.Signal = modem.Signal{RSSI: -113} }, ""},
		"memory fills":        {memory(14, 0), "warn storage_filling used=14 total=20"},
		"memory full":         {memory(18, 0), "fail storage_full used=18"},
		"memory of others":    {memory(14, 13), "warn storage_foreign foreign=13"},
		"full of others":      {memory(20, 20), "fail storage_foreign"},
		"no reports":          {func(v *vitals) { v.snap.ReportsBy = 0 }, "warn reports_none"},
		"reports missing":     {func(v *vitals) { v.reports = reports{accepted: 5, last: time.Now().Add(-time.Hour)} }, "warn reports_missing count=5"},
		"reports late":        {func(v *vitals) { v.reports = reports{accepted: 5, last: time.Now()} }, ""},
		"no SMSC":             {func(v *vitals) { v.snap.SIM.SMSC = "" }, "warn sim_no_smsc"},
		"no SMSC, it sends":   {func(v *vitals) { v.snap.SIM.SMSC, v.sent = "", true }, ""},
		"switched off SIM":    {func(v *vitals) { v.sim.State = SIMDisabled }, "info sim_disabled"},
		"held SIM":            {func(v *vitals) { v.sim.State, v.sim.Reason = SIMBlocked, "no SMSC" }, "fail sim_held reason=no SMSC"},
		"refused SIM": {func(v *vitals) {
			v.sim.State, v.sim.Reason = SIMQuarantined, "the network refused this SIM several times (cms_10); check its contract and credit"
		}, "fail sim_refused code=cms_10"},
		"mute": {func(v *vitals) {
			v.sim.State, v.mute = SIMQuarantined, queue.Mute{NoReceive: true, Legs: []int64{1, 2}}
		}, "fail line_no_receive count=2"},
		"quarantine":   {func(v *vitals) { v.sim.State, v.sim.Reason = SIMQuarantined, "answers lost" }, "warn line_quarantined reason=answers lost"},
		"answers lost": {send("the answer to a submission was lost", 2), "warn answers_lost count=2"},
		"came late": {func(v *vitals) {
			send("the answer to a submission was lost", 2)(v)
			send("the answer to a submission came late", 1)(v)
		}, ""},
		"much refused":  {func(v *vitals) { v.sim.FailedRecent = 5 }, "warn sim_failing count=5"},
		"many restarts": {func(v *vitals) { v.snap.Restarts = 3; v.history = []modem.Entry{{At: now, Kind: modem.EntryStep}} }, "warn modem_restarts count=3"},
		"restarts of old": {func(v *vitals) {
			v.snap.Restarts = 3
			v.history = []modem.Entry{{At: now.Add(-25 * time.Hour), Kind: modem.EntryStep}}
		}, ""},
		"crashes": {func(v *vitals) {
			v.crashes = []modem.Crash{{At: now}, {At: now}, {At: now, Reason: "the port went away"}}
		}, "warn modem_crashes count=3 reason=the port went away"},
		"ordered": {func(v *vitals) {
			one := modem.Crash{At: now, Reason: "restarting: restarted by an operator"}
			v.crashes = []modem.Crash{one, one, one}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := well(now)
			row.ill(&v)
			got := v.findings()
			if row.want == "" {
				require.Empty(t, got)
				return
			}
			wanted := strings.Split(row.want, ", ")
			require.Len(t, got, len(wanted), "%v", got)
			for i, f := range got {
				head, facts, _ := strings.Cut(wanted[i], " ")
				code, facts, _ := strings.Cut(facts, " ")
				require.Equal(t, head+" "+code, f.Severity+" "+f.Code)
				name := ""
				want := map[string]string{}
				for _, word := range strings.Fields(facts) {
					if key, value, ok := strings.Cut(word, "="); ok {
						name, want[key] = key, value
					} else {
						want[name] += " " + word
					}
				}
				for name, fact := range want {
					require.Equal(t, fact, f.Facts[name], name)
				}
				require.Equal(t, v.port, f.Facts["port"])
				require.NotEmpty(t, f.Name)
				require.NotEmpty(t, f.Says)
			}
		})
	}
}

// TestFindingWords: every code that is made here has words in both languages,
// with facts in their places; without an optional fact the sentence is whole.
func TestFindingWords(t *testing.T) {
	require.Equal(t, "/dev/x is in use by smsd (process 12).",
		NewFinding("port_busy", FindingFail, AboutPort, "", map[string]string{"port": "/dev/x", "program": "smsd", "pid": "12"}).Says)
	require.Equal(t, "/dev/x is in use.", NewFinding("port_busy", FindingFail, AboutPort, "", map[string]string{"port": "/dev/x"}).Says)
	says, do := Finding{Code: "of another", Says: "a", Do: "b"}.In("es")
	require.Equal(t, []string{"a", "b"}, []string{says, do}, "what nobody translated stays")

	for code, w := range findingWords {
		require.Regexp(t, `^[a-z0-9]+(_[a-z0-9]+)*$`, code)
		for _, pair := range [][2]string{{w.en.says, w.es.says}, {w.en.do, w.es.do}} {
			require.Equal(t, pair[0] == "", pair[1] == "", code)
			require.NotContains(t, fill(pair[0]+pair[1], nil), "[", code)
			require.Equal(t, unique(factName.FindAllString(pair[0], -1)), unique(factName.FindAllString(pair[1], -1)), "%s: %q, %q", code, pair[0], pair[1])
		}
		require.NotEqual(t, w.en, w.es, code)
		require.NotEmpty(t, w.en.says, code)
	}
}

func unique(list []string) map[string]bool {
	set := map[string]bool{}
	for _, one := range list {
		set[fmt.Sprint(one)] = true
	}
	return set
}

func TestWorst(t *testing.T) {
	require.Empty(t, Worst(nil))
	require.Equal(t, FindingFail, Worst([]Finding{{Severity: FindingInfo}, {Severity: FindingFail}, {Severity: FindingWarn}}))
}
