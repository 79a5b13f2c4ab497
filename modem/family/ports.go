package family

// Roles of a modem's USB interface.
const (
	RoleAT     = "at"     // commands: the one to use
	RolePPP    = "ppp"    // data; answers AT too, until a call is up
	RoleGPS    = "gps"    // NMEA sentences
	RoleDiag   = "diag"   // the chip maker's own protocol: never to be written to
	RoleIgnore = "ignore" // answers nothing, or nothing that is good for us
)

// AnyInterface in PortRule means all interfaces that no other rule names.
const AnyInterface = -1

// PortRule says what an interface of a USB device is for.
type PortRule struct {
	VID, PID  uint16 // PID 0: any that has no rules of its own
	Interface int    // bInterfaceNumber, or AnyInterface
	Role      string
	// Protocol is bInterfaceProtocol; 0: any. Huawei gives its ports away by it.
	Protocol uint8
	// Hush is sent once, without "AT", to the port when it is not the one in use:
	// what it says by itself and nobody reads would fill its buffer. "": nothing.
	Hush string
}

// PortRules are those of all families. Among the rules that fit, one with a PID
// comes before one without, one with a number before AnyInterface.
func PortRules() []PortRule {
	var list []PortRule
	for _, f := range all {
		list = append(list, f.Ports...)
	}
	// A Qualcomm chip without its firmware: it speaks no AT any more.
	return append(list, PortRule{VID: 0x05c6, PID: 0x9008, Interface: AnyInterface, Role: RoleIgnore})
}

// ports are the rules of one device: roles by interface number.
func ports(vid, pid uint16, roles map[int]string) []PortRule {
	var list []PortRule
	for i := range 16 {
		if role := roles[i]; role != "" {
			list = append(list, PortRule{VID: vid, PID: pid, Interface: i, Role: role})
		}
	}
	return list
}
