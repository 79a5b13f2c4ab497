package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// instanceName is the file that names an installation: a random id, made at the
// first start and never part of a backup.
const instanceName = "recado.id"

func (d dataDir) instanceFile() string { return filepath.Join(string(d), instanceName) }

// box is where the operating system tells of the machine; tests have their own.
type box struct {
	root string // before /etc, /sys, /proc; "" is the system's
}

// instance is what tells this box, with this data, from a copy of it. All of it
// can be read without root; what cannot be read is left out, and then says
// nothing. Why each:
//
//   - installation: recado.id. A recado.db that was put into another box's folder
//     alone comes without it.
//   - file, born: that file's inode number and time of birth. A copy of the folder
//     has the same id, but in another file; no copying tool can set either.
//     Renaming the folder, or moving it within its file system, keeps both.
//   - machine: /etc/machine-id. systemd makes one at the first boot of an image
//     that was prepared for copying.
//   - board: the serial number that a Raspberry Pi and its like have in their
//     device tree. A card's image on another card, in another board.
//   - cid, serial, wwid, usb: what the disk under the data says of itself: the CID
//     of an SD card, serial numbers of the others. The same board with a copied
//     card.
//
// Network cards are not asked: they are USB sticks that get replaced.
//
// The values are hashed, so that a backup does not give a box's numbers away.
func (d dataDir) instance(b box) (map[string]string, error) {
	id, err := d.installation()
	if err != nil {
		return nil, err
	}
	found := map[string]string{"installation": id}
	var state unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, d.instanceFile(), 0, unix.STATX_INO|unix.STATX_BTIME, &state)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", d.instanceFile(), err)
	}
	if lasting(string(d)) {
		found["file"] = fmt.Sprint(state.Ino)
		if state.Mask&unix.STATX_BTIME != 0 {
			found["born"] = fmt.Sprintf("%d.%09d", state.Btime.Sec, state.Btime.Nsec)
		}
	}
	found["machine"] = b.machine()
	found["board"] = b.board()
	maps.Copy(found, b.disk(state.Dev_major, state.Dev_minor))
	for name, value := range found {
		if value == "" {
			delete(found, name)
			continue
		}
		sum := sha256.Sum256([]byte("recado instance " + name + "\x00" + value))
		found[name] = hex.EncodeToString(sum[:12])
	}
	return found, nil
}

// installation reads recado.id; the first start of a locked folder makes one.
func (d dataDir) installation() (string, error) {
	text, err := os.ReadFile(d.instanceFile())
	if err == nil && strings.TrimSpace(string(text)) != "" {
		return strings.TrimSpace(string(text)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the installation's name: %w", err)
	}
	id := rand.Text()
	part := d.instanceFile() + ".part"
	err = errors.Join(writeSecret(part, []byte(id+"\n")), os.Rename(part, d.instanceFile()), syncFolder(string(d)))
	if err != nil {
		return "", fmt.Errorf("name the installation: %w", err)
	}
	return id, nil
}

// Magic numbers of file systems (statfs(2)) that unix does not name, or not on
// every architecture.
const (
	zfsMagic  = 0x2fc12fc1
	bcacheFS  = 0xca451a4e
	ubifsKind = 0x24051905
)

// lasting says whether files keep their inode numbers when the file system is
// mounted again: FAT and network file systems make them up.
func lasting(dir string) bool {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return false
	}
	switch uint32(fs.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC, unix.TMPFS_MAGIC, zfsMagic, bcacheFS, ubifsKind:
		return true
	}
	return false
}

func (b box) read(names ...string) string {
	text, err := os.ReadFile(filepath.Join(b.root, filepath.Join(names...)))
	if err != nil {
		return ""
	}
	return strings.Trim(string(text), " \t\r\n\x00")
}

// machine is systemd's id of the installed system (machine-id(5)).
func (b box) machine() string {
	id := b.read("/etc/machine-id")
	if len(id) != 32 { // "uninitialized", or nothing yet
		return ""
	}
	return id
}

// board is the serial number in the device tree. PCs have theirs in the DMI
// tables, which only root may read.
func (b box) board() string {
	for _, name := range []string{"/sys/firmware/devicetree/base/serial-number", "/proc/device-tree/serial-number"} {
		if serial := b.read(name); strings.Trim(serial, "0") != "" {
			return serial
		}
	}
	return ""
}

// disk is what the disk with this device number says of itself.
func (b box) disk(major, minor uint32) map[string]string {
	if major == 0 { // btrfs, and everything without one device under it
		if major, minor = b.under(major, minor); major == 0 {
			return nil
		}
	}
	link := filepath.Join(b.root, "/sys/dev/block", fmt.Sprintf("%d:%d", major, minor))
	dir, err := filepath.EvalSymlinks(link)
	if err != nil {
		return nil
	}
	dir = whole(dir)
	found := map[string]string{}
	for name, files := range map[string][]string{
		"cid":    {"device/cid"},
		"serial": {"device/serial", "serial"},
		"wwid":   {"wwid", "device/wwid"},
	} {
		for _, file := range files {
			if value := (box{dir}).read(file); value != "" && found[name] == "" {
				found[name] = value
			}
		}
	}
	found["usb"] = usbSerial(dir)
	return found
}

// whole goes from a partition to its disk, and from a mapped device (LUKS, LVM)
// to the first one under it.
func whole(dir string) string {
	for range 8 { // so deep nobody stacks them
		if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
			dir = filepath.Dir(dir)
		}
		under, err := filepath.Glob(filepath.Join(dir, "slaves", "*"))
		if err != nil || len(under) == 0 {
			break
		}
		if dir, err = filepath.EvalSymlinks(under[0]); err != nil {
			break
		}
	}
	return dir
}

// usbSerial is the serial number of the USB device that a disk is behind.
func usbSerial(dir string) string {
	for ; len(dir) > 1; dir = filepath.Dir(dir) {
		at := box{dir}
		if vendor := at.read("idVendor"); vendor != "" {
			if serial := at.read("serial"); serial != "" {
				return vendor + ":" + at.read("idProduct") + ":" + serial
			}
			return ""
		}
	}
	return ""
}

// under finds the device of a file system that has an anonymous number, by the
// table of mounts (proc_pid_mountinfo(5)).
func (b box) under(major, minor uint32) (uint32, uint32) {
	file, err := os.Open(filepath.Join(b.root, "/proc/self/mountinfo"))
	if err != nil {
		return 0, 0
	}
	defer file.Close()
	want := fmt.Sprintf("%d:%d", major, minor)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		mount, source, ok := strings.Cut(lines.Text(), " - ")
		fields, from := strings.Fields(mount), strings.Fields(source)
		if !ok || len(fields) < 3 || fields[2] != want || len(from) < 2 || !strings.HasPrefix(from[1], "/dev/") {
			continue
		}
		var state unix.Stat_t
		if err := unix.Stat(filepath.Join(b.root, from[1]), &state); err != nil || state.Mode&unix.S_IFMT != unix.S_IFBLK {
			return 0, 0
		}
		return unix.Major(state.Rdev), unix.Minor(state.Rdev)
	}
	return 0, 0
}
