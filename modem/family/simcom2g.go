package family

import "time"

// simcom2G is SIM800, SIM900 and their kin, mostly behind a USB adapter whose
// numbers say nothing.
var _ = variant(func(f *Family) {
	f.Name = "simcom-2g"
	f.Of = []string{"simcom"}
	f.Models = []string{"SIM300", "SIM340", "SIM508", "SIM800", "SIM808", "SIM840", "SIM868", "SIM900", "SIM908", "SIM928", "SIM968"}
	f.asks(counters{"+SPIC", "+SPIC", 0, 2}) // PIN, PIN2, PUK, PUK2
	f.ICCID = []string{"+CCID", "+CRSM=176,12258,0,0,10"}
	f.CNMI = ladder([]int{2, 1}, []int{1}, 0) // ds 2 is refused
	f.CMS = siemensCodes()
	f.NoLink = true // its manual's list of SMS commands goes without AT+CMMS
	f.Pace, f.AfterPrompt = 50*time.Millisecond, 20*time.Millisecond
})
