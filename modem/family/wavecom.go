package family

import "time"

// wavecom is the Fastrack modems and Q24, Q26 modules, serial, old, and many.
var _ = variant(func(f *Family) {
	f.Name = "wavecom"
	f.Makers = []string{"wavecom"}
	f.Of = []string{"sierra wireless"}
	f.Models = []string{"MULTIBAND", "FASTRACK", "Q2403", "Q2406", "Q2686", "Q2687"}
	f.Init = []string{"+WIND=0"} // or it comments on everything
	f.ICCID = []string{"+CCID", "+CRSM=176,12258,0,0,10"}
	f.CNMI = ladder([]int{2, 1}, []int{1, 2}, 0, 1)
	f.Pace, f.AfterPrompt = 50*time.Millisecond, 20*time.Millisecond
	const again = "nothing: it is tried again"
	init := Code{Says: "the modem is still starting", Do: again, Sent: SentNot, Class: "busy", Wait: 10 * time.Second}
	f.CMS, f.CME = map[int]Code{515: init}, map[int]Code{515: init}
})
