package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// parsed gives the grammar as these arguments set it.
func parsed(t *testing.T, args ...string) (*grammar, error) {
	t.Helper()
	command, _, err := parse(args, terminal{strings.NewReader(""), &strings.Builder{}, &strings.Builder{}})
	if err != nil {
		return nil, err
	}
	return command.Model.Target.Addr().Interface().(*grammar), nil
}

func configured(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "recado.toml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestFlagWinsOverVariableOverFileOverDefault(t *testing.T) {
	path := configured(t, `
data = "/file"
listen = "file:1"
emulate = 3
modem = ["/dev/a", "tcp:b:1"]
trust_clock = true
country = "pt"
timeout = "7s"
`)
	t.Setenv("RECADO_LISTEN", "env:2")
	t.Setenv("RECADO_EMULATE", "5")
	g, err := parsed(t, "serve", "--config", path, "--emulate", "9")
	require.NoError(t, err)
	require.Equal(t, "/file", g.Serve.Data)
	require.Equal(t, "env:2", g.Serve.Listen)
	require.Equal(t, 9, g.Serve.Emulate)
	require.Equal(t, []string{"/dev/a", "tcp:b:1"}, g.Serve.Modem)
	require.True(t, g.Serve.TrustClock)
	require.False(t, g.Serve.OpenLimits)
	require.Equal(t, "info", g.Serve.LogLevel)

	// The same file serves the subcommands, and can be named by a variable.
	t.Setenv("RECADO_CONFIG", path)
	g, err = parsed(t, "send", "600111222", "hola")
	require.NoError(t, err)
	require.Equal(t, "/file", g.Send.Data)
	require.Equal(t, "pt", g.Send.Country)
	require.Equal(t, "7s", g.Send.Timeout.String())
}

func TestConfigurationErrorsNameTheLine(t *testing.T) {
	for _, row := range []struct{ text, says string }{
		{"data = \"x\"\nlisen = \"x\"\n", `line 2: unknown key "lisen": remove it`},
		{"data = \"x\"\n\n[serve]\nlisten = \"x\"\n", `line 3: unknown key "serve": remove it`},
		{"listen = 8080\n", "line 1"},
		{"emulate = \"four\"\n", "line 1"},
		{"\nlisten = \n", "line 2"},
		{"country = \"Spain\"\n", "two letters"},
	} {
		_, err := parsed(t, "serve", "--config", configured(t, row.text))
		require.ErrorContains(t, err, row.says, row.text)
	}
	_, err := parsed(t, "serve", "--config", "/nowhere/recado.toml")
	require.ErrorContains(t, err, "/nowhere/recado.toml")
}

func TestThePackagedConfigurationIsTheDefault(t *testing.T) {
	without, err := parsed(t, "serve")
	require.NoError(t, err)
	with, err := parsed(t, "serve", "--config", "../../systemd/recado.toml")
	require.NoError(t, err)
	with.Serve.configFlag, without.Serve.configFlag = configFlag{}, configFlag{}
	with.Serve.Modem, without.Serve.Modem = nil, nil
	require.Equal(t, without.Serve, with.Serve)
}

func TestEveryFlagHasAVariableAndAKey(t *testing.T) {
	parser, err := kong.New(&grammar{}, kong.DefaultEnvars("RECADO"))
	require.NoError(t, err)
	keys := flagKeys(parser.Model.Node)
	seen := 0
	var walk func(*kong.Node)
	walk = func(node *kong.Node) {
		for _, flag := range node.Flags {
			if flag.Name == "help" {
				continue
			}
			seen++
			variable := "RECADO_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
			require.Equal(t, []string{variable}, flag.Envs)
			if flag.Name != "config" {
				require.Contains(t, keys, configKey(flag))
			}
		}
		for _, child := range node.Children {
			walk(child)
		}
	}
	walk(parser.Model.Node)
	require.Greater(t, seen, 20)
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("data = \"x\"\n"))
	f.Add([]byte("modem = [1, {a=2}]\n[x.y]\n"))
	f.Add([]byte("emulate = 99999999999999999999\n"))
	parser, err := kong.New(&grammar{}, kong.DefaultEnvars("RECADO"))
	require.NoError(f, err)
	keys := flagKeys(parser.Model.Node)
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "recado.toml")
		require.NoError(t, os.WriteFile(path, text, 0o600))
		values, err := readConfig(path, keys)
		if err != nil && values != nil {
			t.Fatal("values of a file that was refused")
		}
		for key := range values {
			require.Contains(t, keys, key)
		}
	})
}
