package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// output runs a command that must succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	text, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %s\n%s", name, strings.Join(args, " "), text)
	return string(text)
}

func TestMakeInstall(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	output(t, "make", "-C", "../..", "install", "DESTDIR="+root)

	modes := map[string]os.FileMode{
		"usr/bin/recado":                              0o755,
		"usr/lib/systemd/system/recado.service":       0o644,
		"usr/lib/udev/rules.d/60-recado-modems.rules": 0o644,
		"usr/lib/sysusers.d/recado.conf":              0o644,
		"usr/lib/tmpfiles.d/recado.conf":              0o644,
		"usr/share/recado/serial-getty-recado.conf":   0o644,
		"usr/share/doc/recado/README.md":              0o644,
		"etc/recado/recado.toml":                      0o640,
	}
	var found []string
	require.NoError(t, filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		found = append(found, name)
		if info, infoErr := entry.Info(); infoErr == nil {
			require.Equal(t, modes[name], info.Mode().Perm(), name)
		}
		return err
	}))
	require.Len(t, found, len(modes), "%v", found)
	require.Contains(t, output(t, filepath.Join(root, "usr/bin/recado"), "version"), "recado ")

	// What somebody changed survives the next install; another prefix reaches the unit.
	own := filepath.Join(root, "etc/recado/recado.toml")
	require.NoError(t, os.WriteFile(own, []byte("emulate = 1\n"), 0o640))
	output(t, "make", "-C", "../..", "install", "DESTDIR="+root, "PREFIX=/opt/sms")
	kept, err := os.ReadFile(own)
	require.NoError(t, err)
	require.Equal(t, "emulate = 1\n", string(kept))
	unit, err := os.ReadFile(filepath.Join(root, "opt/sms/lib/systemd/system/recado.service"))
	require.NoError(t, err)
	require.Contains(t, string(unit), "ExecStart=/opt/sms/bin/recado serve")

	t.Run("the unit is valid and hardened", func(t *testing.T) {
		// SR33: at most 1.6 of 10; systemd-analyze ends with an error beyond.
		path := filepath.Join(root, "usr/lib/systemd/system/recado.service")
		output(t, "systemd-analyze", "security", "--offline=true", "--threshold=16", path)
		require.Empty(t, verified(t, path, "recado.service"))
	})
	t.Run("the console's drop-in is valid", func(t *testing.T) {
		path := filepath.Join(root, "usr/share/recado/serial-getty-recado.conf")
		require.Empty(t, verified(t, path, "serial-getty@ttyS0.service.d/recado.conf"))
	})
	t.Run("the user can be made", func(t *testing.T) {
		text := output(t, "systemd-sysusers", "--dry-run", "--root="+root)
		require.Contains(t, text, "Creating user 'recado'")
	})
}

// verified gives what systemd-analyze has to say of a unit or a drop-in, with a program that exists.
func verified(t *testing.T, path, as string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	units := t.TempDir()
	at := filepath.Join(units, as)
	require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o700))
	text = []byte(strings.ReplaceAll(string(text), "/usr/bin/recado", "/bin/true"))
	require.NoError(t, os.WriteFile(at, text, 0o600))
	unit, _, _ := strings.Cut(as, ".d/")
	command := exec.Command("systemd-analyze", "verify", unit)
	command.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+units+":/usr/lib/systemd/system:/lib/systemd/system")
	said, err := command.CombinedOutput()
	require.NoError(t, err, "%s", said)
	return string(said)
}
