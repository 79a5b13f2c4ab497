//go:build !failpoints

package failpoint

// On says whether the program was built with failpoints.
const On = false

// Hit does nothing in a build without failpoints.
func Hit(string) {}

// Err is nil in a build without failpoints.
func Err(string) error { return nil }
