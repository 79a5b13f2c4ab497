package family

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct{ maker, model, family string }{
		{"Acme", "Foo 3000", "generic"}, {"", "", "generic"},
		{"huawei", "E3372", "huawei"}, {"Huawei Technologies", "MU736", "huawei-mu736"}, {"huawei", "K9999", "huawei"},
		{"ZTE CORPORATION", "MF190", "zte"}, {"ZTE INCORPORATED", "MFnew", "zte"},
		{"Quectel", "EC25", "quectel"}, {"Quectel", "EP06", "quectel"}, {"Quectel", "EC200A", "quectel-ec200a"},
		{"Quectel", "BG96", "quectel-iot"}, {"Quectel_Ltd", "Quectel_M95", "quectel-2g"}, {"Quectel", "M35", "quectel-2g"},
		{"SIMCOM_Ltd", "SIMCOM_SIM800L", "simcom-2g"}, {"SIMCOM INCORPORATED", "SIMCOM_SIM7600E-H", "simcom"},
		{"SIMCOM_Ltd", "SIMCOM_SIM7000E", "simcom-iot"}, {"INCORPORATED", "A7670E-FASE", "simcom"},
		{"Telit", "GE865-QUAD", "telit"}, {"u-blox", "SARA-U201", "u-blox"}, {"u-blox", "SARA-R412M-02B", "u-blox-iot"}, {"u-blox", "TOBY-L4006", "u-blox-toby"},
		{"Sierra Wireless, Incorporated", "MC7455", "sierra"}, {"Sierra Wireless, Incorporated", "New", "sierra"},
		{"WAVECOM MODEM", "MULTIBAND  900E  1800", "wavecom"}, {"Sierra Wireless", "FASTRACK SUPREME", "wavecom"},
		{"SIEMENS", "MC35i", "siemens"}, {"Cinterion", "EHS6", "siemens"}, {"Gemalto", "BGS2-W", "siemens"},
		{"Novatel Wireless Incorporated", "MC679", "novatel"}, {"Neoway", "M590E", "neoway"},
		{"Telit", "M35 of another maker", "telit"},
	} {
		require.Equal(t, c.family, Match(c.maker, c.model).Name, "%s %s", c.maker, c.model)
	}
}

// TestGenericIsSafe pins what a modem that nobody knows must not be spared.
func TestGenericIsSafe(t *testing.T) {
	require.Zero(t, Generic.Pace, "no pause on the way of a message")
	require.Zero(t, Generic.AfterPrompt)
	require.Equal(t, CNMI{2, 1, 0, 1, 0}, Generic.CNMI[0])
	require.Equal(t, "+CFUN=1,1", Generic.Reset)
	require.Empty(t, Generic.CMS)
}

// TestEveryFamilyIsSafe: what no file may leave out or turn round.
func TestEveryFamilyIsSafe(t *testing.T) {
	names := map[string]bool{}
	for _, f := range Families() {
		require.NotEmpty(t, f.Name)
		require.False(t, names[f.Name], "%s twice", f.Name)
		names[f.Name] = true
		require.True(t, f == &Generic || len(f.Makers)+len(f.Models) > 0, f.Name)
		require.GreaterOrEqual(t, f.ResultTimeout, 180*time.Second, "%s: shorter is the known source of duplicates", f.Name)
		require.GreaterOrEqual(t, f.PromptTimeout, 10*time.Second, f.Name)
		require.LessOrEqual(t, f.Pace, 100*time.Millisecond, f.Name)
		require.GreaterOrEqual(t, f.AfterPIN, 3*time.Second, f.Name)
		require.NotEmpty(t, f.PINTries, f.Name)
		require.NotEmpty(t, f.ICCID, f.Name)
		require.NotEmpty(t, f.USSD, f.Name)
		require.GreaterOrEqual(t, f.USSDTimeout, 30*time.Second, f.Name)
		codings := map[USSDCoding]bool{}
		for _, c := range f.USSD {
			require.False(t, codings[c], "%s: %v twice", f.Name, c)
			codings[c] = true
		}
		require.True(t, f.USSDPlain == "" || codings[USSDText], f.Name)
		require.NotEmpty(t, f.Boot, f.Name)
		require.NotEmpty(t, f.Full, f.Name)
		require.NotEmpty(t, f.Charset, f.Name)
		require.NotEmpty(t, f.Ack, f.Name)
		require.Equal(t, f.RadioOff == "", f.RadioOn == "", f.Name)
		require.Positive(t, f.ResetWait, f.Name)
		seen := map[CNMI]bool{}
		reports := true
		for _, c := range f.CNMI {
			require.False(t, seen[c], "%s: %v twice", f.Name, c)
			seen[c] = true
			require.Equal(t, 1, c.MT, "%s: stored and announced, never pushed: %v", f.Name, c)
			require.Zero(t, c.BM, f.Name)
			require.True(t, reports || c.DS == 0, "%s: a setting with reports after one without", f.Name)
			reports = c.DS != 0
		}
		require.False(t, reports, "%s: a modem without reports still receives", f.Name)
		for _, cmd := range append(append(append([]string{}, f.Init...), f.Unlocked...), f.ICCID...) {
			require.NotContains(t, cmd, "CMGD", "%s never deletes blindly", f.Name)
			require.NotContains(t, cmd, "&W", f.Name)
			require.NotContains(t, cmd, "SETPORT", "%s: a wrong one bricks the stick", f.Name)
		}
	}
	for _, want := range []string{
		"huawei", "zte", "quectel", "quectel-2g", "simcom-2g", "simcom", "telit", "u-blox", "sierra", "wavecom", "siemens",
		"novatel", "neoway", "generic",
	} {
		require.True(t, names[want], want)
	}
}

// TestPortRules: one role for an interface, and a port for commands on every
// device.
func TestPortRules(t *testing.T) {
	type device struct{ vid, pid uint16 }
	roles := map[PortRule]string{}
	commands := map[device]bool{}
	for _, r := range PortRules() {
		require.True(t, slices.Contains([]string{RoleAT, RolePPP, RoleGPS, RoleDiag, RoleIgnore}, r.Role) || r.Role == "" && r.Hush != "", "%+v", r)
		require.True(t, r.Hush == "" || slices.Contains([]string{RoleAT, RolePPP, ""}, r.Role), "%+v is never opened", r)
		require.GreaterOrEqual(t, r.Interface, AnyInterface)
		key := r
		key.Role, key.Hush = "", ""
		require.NotContains(t, roles, key, "%+v twice", r)
		roles[key] = r.Role
		d := device{r.VID, r.PID}
		commands[d] = commands[d] || r.Role == RoleAT
	}
	for d, ok := range commands {
		require.True(t, ok || d == device{0x05c6, 0x9008}, "%04x:%04x has no port for commands", d.vid, d.pid)
	}
	role := func(vid, pid uint16, i int) string { return roles[PortRule{VID: vid, PID: pid, Interface: i}] }
	require.Equal(t, RoleAT, role(0x2c7c, 0, 2))
	require.Equal(t, RoleAT, role(0x2c7c, 0x0128, 5))
	require.Equal(t, RoleAT, role(0x1e0e, 0x9011, 4))
	require.Equal(t, RoleAT, role(0x1bc7, 0x1040, 4))
	require.Equal(t, RoleAT, role(0x1546, 0x1010, 6))
	require.Equal(t, RoleAT, role(0x1199, 0x9091, 3))
	require.Equal(t, RoleAT, role(0x19d2, 0x0031, 1))
	require.Equal(t, RoleIgnore, role(0x05c6, 0x9008, AnyInterface))
	require.Equal(t, RoleAT, roles[PortRule{VID: 0x12d1, Interface: AnyInterface, Protocol: 2}])
}
