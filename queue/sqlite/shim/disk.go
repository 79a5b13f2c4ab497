package shim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const ownMounts = "RECADO_TEST_OWN_MOUNTS"

// SmallDisk mounts a file system of so many MiB for the test. here is false when that
// is not allowed: the test ran in a user namespace where it is, and is over.
func SmallDisk(t *testing.T, megabytes int) (dir string, here bool) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.Mkdir(dir, 0o700))
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes))
	if err == nil {
		t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
		return dir, true
	}
	require.Empty(t, os.Getenv(ownMounts), "no small disk could be mounted, not even in a user namespace (%v): run the tests as root, or allow it with sysctl kernel.unprivileged_userns_clone=1", err)
	again := exec.Command("unshare", "--user", "--map-root-user", "--mount", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), ownMounts+"=yes")
	out, err := again.CombinedOutput()
	require.NoError(t, err, "in a user namespace (run the tests as root, or allow it with sysctl kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0): %s", out)
	return "", false
}
