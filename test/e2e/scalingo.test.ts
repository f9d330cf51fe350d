/** Scalingo, from the first list call to the last, through the compiled program. */

import { describeStory } from "../support/platform-story.ts";
import { startScalingoStory } from "../support/scalingo-story.ts";

describeStory("scalingo", startScalingoStory);
