package io.github.messageproxy;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class EffectsTest {
    @Test
    void oneThatFailsDoesNotKeepTheOthersFromBeingDone() {
        List<String> done = new ArrayList<>();
        Effects effects = new Effects();
        effects.add(() -> done.add("first"));
        effects.add(() -> {
            throw new IllegalStateException("no luck");
        });
        effects.add(() -> done.add("last"));
        effects.run(new Log(new TestLogger(text -> { })));
        assertEquals(List.of("first", "last"), done);
    }
}
