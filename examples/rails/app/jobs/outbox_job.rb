# frozen_string_literal: true

class OutboxJob < ApplicationJob
  # One second, two, four, ... half a minute at most; by chance up to half of that less.
  retry_on Seenby::Away,
           wait: ->(executions) { [2**(executions - 1), 30].min * rand(0.5..1.0) },
           attempts: Float::INFINITY

  def perform
    OutboxCall.deliver
  end
end
