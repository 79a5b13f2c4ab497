//go:build race

package proof

// raceOn: the test looks for data races, and so does the program.
const raceOn = true
