// Package kafkacontainer gives tests a real Kafka: one broker in a Testcontainers
// container, tuned to start fast and to do its periodic work often.
//
// A package of tests shares one Kafka:
//
//	var kafka *kafkacontainer.Kafka
//
//	func TestMain(m *testing.M) {
//		os.Exit(kafkacontainer.RunTests(m, kafkacontainer.Options{}, &kafka))
//	}
//
// A test that stops or kills Kafka starts one of its own with Start. Without
// Docker the tests fail and say what to install; they are never skipped.
package kafkacontainer
