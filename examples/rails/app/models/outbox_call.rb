# frozen_string_literal: true

# The outbox: a call that is still to be made, written with the change that it tells of.
class OutboxCall < ApplicationRecord
  after_create_commit { OutboxJob.perform_now }

  # Make the calls that wait, in their order. Raises Seenby::Away: then do it again later.
  def self.deliver
    loop do
      waiting = transaction do
        # Who else delivers at this moment waits for the row.
        call = lock.order(:id).first
        call&.make
        call
      end
      break if waiting.nil?
    end
  end

  def make
    Seenby.current.call(http_method, path, body)
    delete
  rescue Seenby::Refused => error
    logger&.error(error.message)
    delete
  end
end
