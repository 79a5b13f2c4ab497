package emulator

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseLine(t *testing.T) {
	for line, want := range map[string][]command{
		"":                         nil,
		"E0V1Q0":                   {{"E", exec, "0"}, {"V", exec, "1"}, {"Q", exec, "0"}},
		"&F&C1":                    {{"&F", exec, ""}, {"&C", exec, "1"}},
		"+CSQ":                     {{"+CSQ", exec, ""}},
		"+cpin?":                   {{"+CPIN", read, ""}},
		"+CNMI=?":                  {{"+CNMI", test, ""}},
		"+CMEE=1;+CREG=2":          {{"+CMEE", set, "1"}, {"+CREG", set, "2"}},
		"E0+CMEE=1":                {{"E", exec, "0"}, {"+CMEE", set, "1"}},
		`^SETPORT="FF;10,12";+CSQ`: {{"^SETPORT", set, `"FF;10,12"`}, {"+CSQ", exec, ""}},
		"D+34600111222;+CSQ":       {{"D", exec, "+34600111222"}, {"+CSQ", exec, ""}},
		"S0=2S0?":                  {{"S0", set, "2"}, {"S0", read, ""}},
		" +CSQ ; ":                 {{"+CSQ", exec, ""}},
	} {
		got, err := parseLine(line)
		require.NoError(t, err, line)
		require.Equal(t, want, got, line)
	}
	for _, line := range []string{"+", "&", "&1", "+CPIN?x", "1", `"`} {
		_, err := parseLine(line)
		require.Error(t, err, line)
	}
	got, err := parseLine("+CSQ;?")
	require.Error(t, err)
	require.Len(t, got, 1)
}

func TestArguments(t *testing.T) {
	require.Equal(t, []argument{{"SM", true}, {"", false}, {"1", false}, {"a,b", true}}, arguments(`"SM",, 1,"a,b"`))
	for text, want := range map[string]int{"": 7, "0": 0, "145": 145} {
		n, ok := argument{text: text}.number(7)
		require.True(t, ok)
		require.Equal(t, want, n)
	}
	for _, text := range []string{"x", "-1", "9999999999", "1 2"} {
		_, ok := argument{text: text}.number(0)
		require.False(t, ok, text)
	}
}

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{"E0V1", `+CPMS="SM";+CSQ?`, "D123;", "S0=", `^X="`, "&", "+C=?;;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, err := parseLine(line)
		if err == nil && strings.Trim(line, " ;") != "" {
			require.NotEmpty(t, got)
		}
		for _, c := range got {
			require.NotEmpty(t, c.name)
			for _, a := range arguments(c.args) {
				if n, ok := a.number(0); ok {
					require.GreaterOrEqual(t, n, 0)
				}
			}
		}
	})
}

// FuzzSession writes anything to a modem; afterwards it answers AT, unless it
// was told to reboot, and never records what no SUBMIT was.
func FuzzSession(f *testing.F) {
	f.Add([]byte("AT+CMGS=18\r0021000B914306111122F2000005C8329BFD06\x1aAT+CMGL=4\r"))
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		var in strings.Builder
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "> "); ok {
				in.WriteString(strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(rest), `\x1a`, "\x1a"), `\x1b`, "\x1b") + "\r")
			}
		}
		f.Add([]byte(in.String()))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		n := NewNetwork(NetworkOptions{NoMagic: true})
		m := n.AddModem(ModemOptions{})
		port, err := m.Open(t.Context())
		require.NoError(t, err)
		done := make(chan string)
		go func() {
			all, _ := io.ReadAll(port)
			done <- string(all)
		}()
		_, err = port.Write(in)
		for _, s := range []string{"\x1b\r", "ATQ0V1E0\r", "AT+CGSN\r"} {
			if err == nil {
				_, err = port.Write([]byte(s))
			}
		}
		if err == nil {
			// Close lets the modem finish what it has been told.
			require.NoError(t, port.Close())
		}
		<-done
		for _, e := range n.Ledger() {
			if e.Type == EntrySubmit {
				require.NotEmpty(t, e.DA)
			}
		}
		require.NoError(t, n.Close())
	})
}
