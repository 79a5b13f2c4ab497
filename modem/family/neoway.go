package family

import "time"

// neoway is M590 and its kin. With the radio off the line dies too, and only
// the power brings it back; the SIM must be in place when it starts.
var _ = variant(func(f *Family) {
	f.Name = "neoway"
	f.Makers = []string{"neoway"}
	f.Models = []string{"M590", "M660", "M680"}
	f.ICCID = []string{"+CCID", "+CRSM=176,12258,0,0,10"}
	f.RadioOff, f.RadioOn = "", ""
	f.Reset = "" // AT+CFUN=1,1 passes through "off"
	f.Pace, f.AfterPrompt = 50*time.Millisecond, 20*time.Millisecond
})
