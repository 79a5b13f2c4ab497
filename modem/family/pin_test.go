package family

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func named(t testing.TB, name string) *Family {
	i := slices.IndexFunc(Families(), func(f *Family) bool { return f.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return Families()[i]
}

func query(list []PINQuery, command string) (PINQuery, bool) {
	i := slices.IndexFunc(list, func(q PINQuery) bool { return q.Command == command })
	if i < 0 {
		return PINQuery{}, false
	}
	return list[i], true
}

// answersOfTries are what modems say: the tries of PIN and PUK, -1 when the
// answer does not tell, -2 when that is not asked with this command.
var answersOfTries = []struct {
	family, command, answer string
	pin, puk                int
}{
	{"generic", `+CPINR="SIM PIN"`, "+CPINR: SIM PIN,3,3", 3, -2},
	{"generic", `+CPINR="SIM PIN"`, `+CPINR:"SIM PIN",2`, 2, -2},
	{"generic", `+CPINR="SIM PIN"`, "+CPINR: SIM PUK,10,10|+CPINR: SIM PIN,1,3", 1, -2},
	{"generic", `+CPINR="SIM PIN"`, "+CPINR: SIM PIN2,3,3", -1, -2},
	{"generic", `+CPINR="SIM PUK"`, "+CPINR: SIM PUK,9,10", -2, 9},
	{"generic", `+CSIM=10,"0020000100"`, `+CSIM: 4,"63C2"`, 2, -2},
	{"generic", `+CSIM=10,"0020000100"`, `+CSIM:4,63c0`, 0, -2},
	{"generic", `+CSIM=10,"0020000100"`, `+CSIM: 4,"6983"`, 0, -2},
	{"generic", `+CSIM=10,"0020000100"`, `+CSIM: 4,"9000"`, -1, -2},
	{"generic", `+CSIM=10,"0020000100"`, `+CSIM: 4,"6E00"`, -1, -2},
	{"generic", `+CSIM=10,"002C000100"`, `+CSIM: 4,"63CA"`, -2, 10},
	{"generic", "+EPINC?", "+EPINC: 3, 2, 10, 9", 3, 10},
	{"generic", "%PINNUM?", "%PINNUM: 3, 10, 2, 9", 3, 10},
	{"generic", "*EPIN?", "*EPIN: 3, 10, 2, 9", 3, 10},
	{"generic", "*EPIN?", "*EPIN: 999, 999, 999, 999", -1, -1},
	{"huawei", "^CPIN?", "^CPIN: SIM PIN,2,10,2,10,3", 2, 10},
	{"huawei", "^CPIN?", "^CPIN:SIM PUK,,9,0,10,3", 0, 9},
	{"huawei", "^CPIN?", "^CPIN: READY,,10,3,10,3", 3, 10},
	{"huawei", "^CPIN?", "^CPIN: READY", -1, -1},
	{"zte", "+ZPINPUK=?", "+ZPINPUK: 1,10", 1, 10},
	{"quectel", `+QPINC="SC"`, `+QPINC: "SC",3,10`, 3, 10},
	{"quectel", `+QPINC="SC"`, `+QPINC: "P2",3,10|+QPINC: "SC",2,9`, 2, 9},
	{"quectel-2g", `+QPINC="SC"`, `+QPINC: SC,2,10`, 2, 10},
	{"simcom-2g", "+SPIC", "+SPIC: 3,2,10,9", 3, 10},
	{"simcom", "+SPIC", "+SPIC: 2,10,0,10", 2, 10},
	{"telit", "#PCT", "#PCT: 3", 3, 3},
	{"telit", `+CSIM=10,"0020000100"`, `+CSIM: 4,"63C1"`, 1, -2},
	{"u-blox", "+UPINCNT", "+UPINCNT: 3,2,10,9", 3, 10},
	{"sierra", "+CPINC?", "+CPINC: 1,3,10,9", 1, 10},
	{"siemens", `^SPIC="SC"`, "^SPIC: 3", 3, -2},
	{"siemens", `^SPIC="SC",1`, "^SPIC: 10", -2, 10},
	{"siemens", "^SPIC", "^SPIC: -1", -1, -1},
	{"novatel", "$NWPINR?", "$NWPINR: PIN1, 3", 3, -2},
	{"novatel", "$NWPINR?", "$NWPINR: PIN2, 3", -1, -2},
	{"novatel", "$NWPINR?", "$NWPINR: PIN1, 99", -1, -2},
	{"sierra", "+CPINC?", "+CPINCX: 1,3,10,9", -1, -1},
	{"sierra", "+CPINC?", "+CPINC 1,3,10,9", -1, -1},
	{"sierra", "+CPINC?", "+CPINC: ,,,", -1, -1},
	{"sierra", "+CPINC?", "+CPINC: +3,3,10,10", -1, 10},
}

func TestTriesOfThePINAndThePUK(t *testing.T) {
	for _, c := range answersOfTries {
		f := named(t, c.family)
		for _, kind := range []struct {
			list []PINQuery
			want int
		}{{f.PINTries, c.pin}, {f.PUKTries, c.puk}} {
			q, asked := query(kind.list, c.command)
			require.Equal(t, kind.want != -2, asked, "%s %s", c.family, c.command)
			if !asked {
				continue
			}
			n, ok := q.Tries(append([]string{""}, strings.Split(c.answer, "|")...))
			require.Equal(t, kind.want >= 0, ok, "%s: %s", c.family, c.answer)
			if ok {
				require.Equal(t, kind.want, n, "%s: %s", c.family, c.answer)
			}
			_, ok = q.Tries(nil)
			require.False(t, ok)
		}
	}
}

// TestTriesAreAskedForHarmlessly: no question that gives a code, and few of them.
func TestTriesAreAskedForHarmlessly(t *testing.T) {
	for _, f := range Families() {
		require.NotEmpty(t, f.PUKTries, f.Name)
		require.LessOrEqual(t, len(f.PINTries), 5, f.Name)
		require.LessOrEqual(t, len(f.PUKTries), 5, f.Name)
		for _, q := range append(slices.Clone(f.PINTries), f.PUKTries...) {
			require.False(t, strings.HasPrefix(q.Command, "+CPIN="), "%s: %s", f.Name, q.Command)
			if apdu, ok := strings.CutPrefix(q.Command, "+CSIM=10,"); ok {
				require.True(t, strings.HasSuffix(apdu, `00"`), "%s: an APDU with data: %s", f.Name, q.Command)
			}
		}
		for _, standard := range []string{`+CPINR="SIM PIN"`, `+CSIM=10,"0020000100"`} {
			_, ok := query(f.PINTries, standard)
			require.True(t, ok, "%s asks nothing that others know", f.Name)
		}
	}
}

func FuzzPINTries(f *testing.F) {
	for _, c := range answersOfTries {
		f.Add(strings.ReplaceAll(c.answer, "|", "\n"))
	}
	for _, s := range []string{"+SPIC: ,,", "^SPIC:", "+CSIM: 4", `+CSIM: 4,"63C`, "+CPINR:", "+cpinr: sim pin,3", "+EPINC: 00000000000000000003"} {
		f.Add(s)
	}
	families := Families()
	f.Fuzz(func(t *testing.T, s string) {
		lines := strings.Split(s, "\n")
		for _, fam := range families {
			for _, q := range append(slices.Clone(fam.PINTries), fam.PUKTries...) {
				if n, ok := q.Tries(lines); ok {
					require.True(t, n >= 0 && n <= mostTries)
				}
			}
		}
	})
}
