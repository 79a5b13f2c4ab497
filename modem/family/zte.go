package family

import "time"

// zte is the USB sticks MF1xx, MF6xx and their kin.
var _ = variant(func(f *Family) {
	f.Name = "zte"
	f.Makers = []string{"zte"}
	f.Models = []string{"MF180", "MF190", "MF195", "MF110", "MF626", "MF627", "MF636", "MF637", "MF821", "MF823", "MF831"}
	f.Ports = ztePorts()
	// Until it is asked for its memories an unlocked stick says +ZUSIMR:2 again
	// and again, and in the end crashes over it.
	f.Unlocked = []string{"+CPMS?"}
	f.asks(counters{"+ZPINPUK=?", "+ZPINPUK", 0, 1})
	f.CNMI = ladder([]int{1}, []int{1, 2}, 0)
	f.AfterPIN = 3 * time.Second
})

// ztePorts: which interface is which changes with every product. The first
// number is the interface for commands, the second that for data.
func ztePorts() []PortRule {
	var list []PortRule
	for _, r := range []struct {
		at, ppp int
		pids    []uint16
	}{
		{0, 2, []uint16{0x0064}},
		{1, 0, []uint16{0x0003, 0x0004, 0x0005, 0x0006, 0x0007, 0x0008, 0x0009, 0x000a}},
		{1, 2, []uint16{0x0016, 0x0017, 0x0018, 0x0019, 0x0117}},
		{1, 3, []uint16{0x0021, 0x0031, 0x0037, 0x0039, 0x0042, 0x0052, 0x0057, 0x0058, 0x0061, 0x0063, 0x0066, 0x0078, 0x0082, 0x0104, 0x0106, 0x0108, 0x0122, 0x0123, 0x1007, 0x1008, 0x1010, 0x1254, 0x2002, 0x2003}},
		{1, 4, []uint16{0x0033, 0x0091, 0x0113, 0x0118, 0x0121, 0x0124, 0x0126, 0x0128}},
		{1, 5, []uint16{0x0125}},
		{2, 0, []uint16{0x0001, 0x1515}},
		{2, 3, []uint16{0x0043}},
		{2, 4, []uint16{0x0048, 0x0049}},
		{3, 1, []uint16{0x0015, 0x0030, 0x0054}},
		{4, 2, []uint16{0x0002, 0x0012, 0x0024, 0x0025, 0x0055}},
	} {
		for _, pid := range r.pids {
			list = append(list, ports(0x19d2, pid, map[int]string{r.at: RoleAT, r.ppp: RolePPP})...)
		}
	}
	return list
}
