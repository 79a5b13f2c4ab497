// Package peers lets other people's programs drive the emulator: Debian's
// gammu, smstools and kannel each send and receive through emulated modems, and
// the network's ledger must agree with them. It holds only a test:
//
//	go test -tags peers -count=1 ./modem/emulator/peers/
//
// It installs nothing, and says which Debian packages are missing.
package peers
