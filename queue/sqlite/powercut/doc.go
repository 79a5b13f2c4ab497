// Package powercut holds the proof that a power cut loses nothing that was
// acknowledged (reliability R3): its tests record every write and every fsync of
// a program that works with the real stores, build the states that the disk may
// be left in after any of them, and open each with the product's own means.
package powercut
